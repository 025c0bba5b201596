// Chooses how each tensor is packed, by size: positions, the form of values, and which tensors share a stream. Small
// tensors share, since the operators that unpack a stream take some 300 bytes whatever its length.
import type { NativePackingSizes, NativePositions, NativeValueForm } from '../native/packing-contract.js';
import type { GraphProto } from '../onnx/schema/onnx_pb.js';
import type { PackedValues } from './options.js';
import type { PackTensor, PackType } from './survey.js';

/** A tensor with its sizes. */
export interface Measured {
  tensor: PackTensor;
  sizes: NativePackingSizes;
}

/** Weights that one codebook is made for. */
export interface Pool {
  members: Measured[];
  values: number;
}

/** Tensors that are packed into one stream. */
export interface Group {
  graph: GraphProto;
  dtype: PackType;
  positions: StreamPositions;
  form: NativeValueForm;
  pool: Pool | undefined;
  members: Measured[];
}

export type StreamPositions = Exclude<NativePositions, 'indices'>;

/** What packing does to each tensor; what is in none of the lists stays dense. */
export interface Choice {
  groups: Group[];
  /** Nothing but zeros. */
  zeros: Measured[];
}

/** What decides which stream a tensor may be in, besides its positions. */
interface Wanted extends Measured {
  form: NativeValueForm;
  pool: Pool | undefined;
}

/** Bytes of the operators of a stream, and of those that cut one tensor out of it. */
const STREAM_BYTES = 320;
const TENSOR_BYTES = 48;
/** Tensors with more elements have a stream of their own. */
const LARGE_ELEMENTS = 2 ** 20;
/** So the longest sequence that unpacking makes at once is the largest tensor, or this many elements of smaller ones. */
const STREAM_ELEMENTS = 2 ** 22;
/** A codebook is 1 KB; shared by as many values it is a sixteenth of them at most. */
const POOL_VALUES = 16_384;
const CODEBOOK_BYTES = 1024;
/** Where float16 ends. */
const LARGEST_HALF = 65_504;

const sparsePositions = ['gaps8', 'gaps4', 'mask'] as const;

/** Chooses for all tensors of a model. */
export function choose(measured: readonly Measured[], values: PackedValues): Choice {
  const zeros = measured.filter(({ sizes }) => sizes.nonzeros === 0);
  const wanted = withForms(
    measured.filter(({ sizes }) => sizes.nonzeros > 0),
    values,
  );
  const large = wanted.filter(({ tensor }) => tensor.elements > LARGE_ELEMENTS);
  const small = wanted.filter(({ tensor }) => tensor.elements <= LARGE_ELEMENTS);
  const groups = [...large.flatMap((one) => cheapestGroups([one])), ...cheapestGroups(small)];
  return { groups, zeros };
}

/** Bytes of a tensor's positions on its own. */
export function positionBytes({ tensor, sizes }: Measured, positions: NativePositions): number {
  switch (positions) {
    case 'all':
      return 0;
    case 'gaps8':
      return sizes.codes8;
    case 'gaps4':
      return Math.ceil(sizes.codes4 / 2);
    case 'mask':
      return Math.ceil(tensor.elements / 8);
    case 'indices':
      return sizes.indexBytes;
  }
}

const valueBytes = { float16: 2, codebook: 1 } as const;

/** Bytes of a tensor's positions and values on its own. */
export function packedBytes(measured: Measured, positions: NativePositions, form: NativeValueForm): number {
  const { tensor, sizes } = measured;
  const count = positions === 'all' ? tensor.elements : sizes.nonzeros;
  const width = form === 'same' ? tensor.bytes / tensor.elements : valueBytes[form];
  return positionBytes(measured, positions) + count * width;
}

function withForms(measured: readonly Measured[], values: PackedValues): Wanted[] {
  const pools = values === 'codebook8' ? poolsOf(measured) : new Map<Measured, Pool>();
  return measured.map((one) => {
    const pool = pools.get(one);
    if (pool !== undefined) return { ...one, form: 'codebook', pool };
    return { ...one, form: values !== 'f32' && mayRound(one) ? 'float16' : 'same', pool };
  });
}

function mayRound({ tensor, sizes }: Measured): boolean {
  return tensor.dtype === 'float32' && tensor.role !== 'other' && sizes.largest <= LARGEST_HALF;
}

/** Weights in the order of the file, in pools that are worth a codebook. */
function poolsOf(measured: readonly Measured[]): Map<Measured, Pool> {
  const pools = new Map<Measured, Pool>();
  let open: Pool = { members: [], values: 0 };
  for (const one of measured) {
    const isWeight = one.tensor.role === 'weight' && one.tensor.dtype === 'float32';
    if (!isWeight || !Number.isFinite(one.sizes.largest)) continue;
    const alone = one.sizes.nonzeros >= POOL_VALUES;
    const pool = alone ? { members: [], values: 0 } : open;
    pool.members.push(one);
    pool.values += one.sizes.nonzeros;
    pools.set(one, pool);
    if (!alone && pool.values >= POOL_VALUES) open = { members: [], values: 0 };
  }
  for (const [one, pool] of pools) if (pool.values + CODEBOOK_BYTES >= 2 * pool.values) pools.delete(one);
  return pools;
}

/** Tries every set of positions, and takes the one whose streams are smallest together. */
function cheapestGroups(wanted: readonly Wanted[]): Group[] {
  let best: { groups: Group[]; bytes: number } = { groups: [], bytes: 0 };
  for (let set = 1; set < 2 ** sparsePositions.length; set++) {
    const allowed = sparsePositions.filter((_, index) => ((set >> index) & 1) === 1);
    const groups = groupsOf(wanted, allowed);
    const bytes = groups.reduce((sum, group) => sum + gain(group), 0);
    if (bytes < best.bytes) best = { groups, bytes };
  }
  return best.groups;
}

function groupsOf(wanted: readonly Wanted[], allowed: readonly StreamPositions[]): Group[] {
  const open = new Map<string, Group>();
  const groups: Group[] = [];
  const ids = new Map<unknown, number>();
  const idOf = (object: unknown): number => ids.get(object) ?? ids.set(object, ids.size).size - 1;
  for (const { form, pool, ...one } of wanted) {
    const positions = cheapestPositions(one, form, allowed);
    if (positions === undefined) continue;
    const { graph, dtype, elements } = one.tensor;
    const key = `${idOf(graph)} ${dtype} ${form} ${idOf(pool)} ${positions}`;
    const group = open.get(key);
    if (group !== undefined && elementsOf(group) + elements <= STREAM_ELEMENTS) group.members.push(one);
    else {
      const fresh = { graph, dtype, positions, form, pool, members: [one] };
      open.set(key, fresh);
      groups.push(fresh);
    }
  }
  return groups.filter((group) => gain(group) < 0);
}

function elementsOf({ members }: Group): number {
  return members.reduce((sum, { tensor }) => sum + tensor.elements, 0);
}

/** Undefined where dense is smaller. */
function cheapestPositions(
  one: Measured,
  form: NativeValueForm,
  allowed: readonly StreamPositions[],
): StreamPositions | undefined {
  let best: StreamPositions | undefined;
  let least = one.tensor.bytes - TENSOR_BYTES;
  for (const positions of ['all', ...allowed] as const) {
    const bytes = packedBytes(one, positions, form);
    if (bytes < least) [best, least] = [positions, bytes];
  }
  return best;
}

/** Bytes that a stream adds to the file: negative where it saves some. */
function gain({ members, positions, form }: Group): number {
  const operators = positions === 'all' ? TENSOR_BYTES : STREAM_BYTES;
  return members.reduce(
    (sum, one) => sum + packedBytes(one, positions, form) + TENSOR_BYTES - one.tensor.bytes,
    operators,
  );
}

/** Bytes that a choice takes off the file, about. */
export function saved({ groups, zeros }: Choice): number {
  const bytes = zeros.reduce((sum, { tensor }) => sum + tensor.bytes - TENSOR_BYTES, 0);
  return groups.reduce((sum, group) => sum - gain(group), bytes);
}
