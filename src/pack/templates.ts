// The operators that unpack a stream, as data: emit.ts instantiates them and parse.ts recognises them, so that the two
// cannot disagree. Names are symbols: those that no step makes are initializers. docs/pack.md derives them.
//
// Every step has an output whose shape follows from its inputs' shapes: a runtime folds no operator whose output may be
// of any size, as those of Compress and NonZero (seen in ONNX Runtime 1.30).
import type { NativeValueForm } from '../native/packing-contract.js';
import { TensorProto_DataType as DataType } from '../onnx/schema/onnx_pb.js';
import type { StreamPositions } from './choose.js';

export interface Step {
  opType: string;
  inputs: readonly string[];
  output: string;
  /** INT attributes. */
  attributes?: Readonly<Record<string, number>>;
}

const step = (opType: string, inputs: string, output: string, attributes?: Step['attributes']): Step => ({
  opType,
  inputs: inputs.split(' '),
  output,
  ...(attributes && { attributes }),
});

const toInt32 = { to: DataType.INT32 };

/** From `stored` to `values`. */
export const valueSteps: Readonly<Record<NativeValueForm, readonly Step[]>> = {
  same: [],
  float16: [step('Cast', 'stored', 'values', { to: DataType.FLOAT })],
  codebook: [step('Cast', 'stored', 'entry', toInt32), step('Gather', 'codebook entry', 'values')],
};

// Two or eight codes or bits lie in a byte, least significant first: bytes [n, 1] over divisors [k], then modulo.
const spread = [
  step('Cast', 'bytes', 'byte', toInt32),
  step('Div', 'byte divisors', 'shifted'),
  step('Mod', 'shifted modulus', 'parts'),
];

// A code c below the filler goes c + 1 elements towards the start, a filler as many as its number. With k = 1 for a
// filler and 0 else, q = k - 1 is minus the values that an entry has, and q - c minus the elements that it goes: their
// running sums are the index from the end, which is what a negative index means, and minus the number of the value. A
// filler takes value 0, which is 0, to a place where a 0 is.
const gaps = [
  step('Div', 'code filler', 'k'),
  step('Sub', 'k one', 'q'),
  step('Sub', 'q code', 'move'),
  step('CumSum', 'move axis', 'index'),
  step('CumSum', 'q axis', 'ordinal'),
  step('Mul', 'ordinal q', 'number'),
  step('Gather', 'values number', 'written'),
  step('ConstantOfShape', 'length', 'blank'),
  step('ScatterElements', 'blank index written', 'flat'),
];

/** From `bytes` and `values` to `flat`; `all` has `values` as `flat`. */
export const positionSteps: Readonly<Record<StreamPositions, readonly Step[]>> = {
  all: [],
  gaps8: [step('Cast', 'bytes', 'code', toInt32), ...gaps],
  gaps4: [...spread, step('Reshape', 'parts any', 'code'), ...gaps],
  // The number of a value is how many bits are set up to it; where none is set, the 0.
  mask: [
    ...spread,
    step('Reshape', 'parts any', 'bit'),
    step('CumSum', 'bit axis', 'count'),
    step('Mul', 'count bit', 'number'),
    step('Gather', 'values number', 'flat'),
  ],
};

/** A small tensor of integers. */
export interface IntegerConstant {
  type: 'int32' | 'int64';
  dims: readonly number[];
  values: readonly number[];
}

const int32 = (...values: number[]): IntegerConstant => ({ type: 'int32', dims: [values.length], values });
const scalar = (value: number): IntegerConstant => ({ type: 'int32', dims: [], values: [value] });
const any: IntegerConstant = { type: 'int64', dims: [1], values: [-1] };
const running = { one: scalar(1), axis: scalar(0) };

/** The constants of each kind of positions, by symbol. */
export const constants: Readonly<Record<StreamPositions, Readonly<Record<string, IntegerConstant>>>> = {
  all: {},
  gaps8: { ...running, filler: scalar(255) },
  gaps4: { ...running, filler: scalar(15), divisors: int32(1, 16), modulus: scalar(16), any },
  mask: { axis: scalar(0), divisors: int32(1, 2, 4, 8, 16, 32, 64, 128), modulus: scalar(2), any },
};

/** Elements that a padded stream of `gaps4` has before the first one: so far its last filler may go. */
export const PADDING = 15;

/** The number of operators at the head of each graph that unpack, as metadata of the model. */
export const METADATA_KEY = 'secateur_packed';
