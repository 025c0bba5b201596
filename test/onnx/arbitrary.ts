// Random models as protobuf bytes, with everything that the wire format allows and writers seldom do: fields in any
// order, values packed, not packed and half of each, unknown fields, lengths that are longer than need be.
import fc from 'fast-check';
import { bytesField, tag, varint } from './helpers.js';

type Bytes = number[];

const float32 = (value: number): Bytes => [...new Uint8Array(Float32Array.of(value).buffer)];
const float64 = (value: number): Bytes => [...new Uint8Array(Float64Array.of(value).buffer)];

/** How the values of each typed field are written. */
const typed = [
  { dataType: 1, field: 4, wireType: 5, encode: float32 },
  { dataType: 11, field: 10, wireType: 1, encode: float64 },
  { dataType: 10, field: 5, wireType: 0, encode: (value: number) => varint(Math.abs(value) % 65_536) },
  { dataType: 6, field: 5, wireType: 0, encode: (value: number) => varint(Math.trunc(value)) },
  { dataType: 3, field: 5, wireType: 0, encode: (value: number) => varint(Math.trunc(value) % 128) },
  { dataType: 7, field: 7, wireType: 0, encode: (value: number) => varint(Math.trunc(value) * 2 ** 21) },
  { dataType: 12, field: 11, wireType: 0, encode: (value: number) => varint(Math.abs(Math.trunc(value))) },
];

const values = fc.oneof(
  fc.array(fc.integer({ min: -100_000, max: 100_000 }), { maxLength: 6 }),
  fc
    .integer({ min: 250, max: 600 })
    .map((count) => Array.from({ length: count }, (_, index) => ((index * 7919) % 65_521) - 30_000)),
);

const unknownField: fc.Arbitrary<Bytes> = fc.oneof(
  fc.nat(1000).map((value) => [...tag(900, 0), ...varint(value)]),
  fc.uint8Array({ maxLength: 9 }).map((body) => bytesField(901, body)),
  fc.constant<Bytes>([...tag(902, 3), ...tag(1, 0), 5, ...tag(2, 3), ...tag(2, 4), ...tag(902, 4)]),
  fc.constant<Bytes>([...tag(903, 5), 1, 2, 3, 4]),
  fc.constant<Bytes>([...tag(904, 1), 1, 2, 3, 4, 5, 6, 7, 8]),
);

const shuffled = (fields: readonly Bytes[]): fc.Arbitrary<Bytes> =>
  fc.shuffledSubarray([...fields], { minLength: fields.length }).map((some) => some.flat());

const text = fc.string({ maxLength: 5 }).map((name) => [...new TextEncoder().encode(name)]);

const payload = fc
  .tuple(fc.constantFrom(...typed), values, fc.constantFrom('packed', 'single', 'mixed', 'raw'), fc.nat(3))
  .map(([type, numbers, form, half]) => {
    const encoded = numbers.map(type.encode);
    const single = (some: readonly Bytes[]) => some.flatMap((bytes) => [...tag(type.field, type.wireType), ...bytes]);
    const packed = (some: readonly Bytes[]) => bytesField(type.field, some.flat());
    const middle = Math.floor((encoded.length * half) / 3);
    const raw = form === 'raw' && type.wireType !== 0;
    const written = {
      packed: packed(encoded),
      single: single(encoded),
      mixed: [...packed(encoded.slice(0, middle)), ...single(encoded.slice(middle))],
      raw: raw ? bytesField(9, encoded.flat()) : packed(encoded),
    }[form];
    return [[...tag(2, 0), ...varint(type.dataType)], [...tag(1, 0), ...varint(numbers.length)], written];
  });

const externalEntry = fc.tuple(text, text).map(([key, value]) => [...bytesField(1, key), ...bytesField(2, value)]);

const tensor = fc
  .tuple(payload, text, fc.array(unknownField, { maxLength: 2 }), fc.array(externalEntry, { maxLength: 2 }))
  .chain(([fields, name, unknown, entries]) =>
    shuffled([...fields, bytesField(8, name), ...unknown, ...entries.map((entry) => bytesField(13, entry))]),
  );

const sparse = fc
  .tuple(tensor, tensor)
  .map(([a, b]) => [...bytesField(1, a), ...bytesField(2, b), ...tag(3, 0), ...varint(9)]);

function attribute(depth: number): fc.Arbitrary<Bytes> {
  const values: fc.Arbitrary<Bytes>[] = [
    tensor.map((body) => bytesField(5, body)),
    fc.array(tensor, { maxLength: 2 }).map((bodies) => bodies.flatMap((body) => bytesField(10, body))),
    sparse.map((body) => bytesField(22, body)),
    fc.nat(9).map((value) => [...tag(3, 0), ...varint(value)]),
  ];
  if (depth > 0) {
    values.push(graph(depth - 1).map((body) => bytesField(6, body)));
    values.push(graph(depth - 1).map((body) => [...bytesField(11, body), ...bytesField(11, [])]));
  }
  return fc
    .tuple(text, fc.oneof(...values), fc.array(unknownField, { maxLength: 1 }))
    .chain(([name, value, unknown]) => shuffled([bytesField(1, name), value, ...unknown]));
}

function graph(depth: number): fc.Arbitrary<Bytes> {
  const node = fc
    .tuple(text, fc.array(attribute(depth), { maxLength: 2 }))
    .map(([op, attributes]) => [...bytesField(4, op), ...attributes.flatMap((body) => bytesField(5, body))]);
  return fc
    .tuple(
      fc.array(node, { maxLength: 3 }),
      fc.array(tensor, { maxLength: 3 }),
      fc.array(sparse, { maxLength: 1 }),
      fc.array(unknownField, { maxLength: 1 }),
    )
    .chain(([nodes, tensors, sparses, unknown]) =>
      shuffled([
        ...nodes.map((body) => bytesField(1, body)),
        ...tensors.map((body) => bytesField(5, body)),
        ...sparses.map((body) => bytesField(15, body)),
        ...unknown,
      ]),
    );
}

/** A ModelProto. */
export const modelBytes: fc.Arbitrary<Uint8Array> = fc
  .tuple(graph(2), fc.option(graph(0)), fc.option(attribute(0)), fc.array(unknownField, { maxLength: 2 }))
  .chain(([main, training, inFunction, unknown]) =>
    shuffled([
      [...tag(1, 0), 8],
      bytesField(7, main),
      ...(training === null ? [] : [bytesField(20, bytesField(2, training))]),
      ...(inFunction === null ? [] : [bytesField(25, bytesField(7, bytesField(5, inFunction)))]),
      ...unknown,
    ]),
  )
  .map((bytes) => Uint8Array.from(bytes));
