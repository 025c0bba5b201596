// Which initializers of a model are trained, which of those are pruned, and which only follow along. Looks at the graph
// and the globs; the gradients are autodiff's business.
import { SecateurError } from '../errors.js';
import type { NativeGroupedTensor } from '../native/groups-contract.js';
import { elementType } from '../onnx/dtypes.js';
import { isStandard } from '../onnx/graph.js';
import type { ModelProto, NodeProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { compilePatterns } from '../prune/patterns.js';
import { findPrunable, type NameFilters } from '../prune/prunable.js';

/** Globs that choose what is trained and what is pruned. */
export interface ParameterFilters extends NameFilters {
  /** Globs on initializers to train; all that can be by default. */
  trainable?: readonly string[] | undefined;
  /** Globs on initializers that stay as they are; stronger than `trainable`. @default [] */
  frozen?: readonly string[] | undefined;
}

/** An initializer that training changes. */
export interface Parameter {
  readonly tensor: TensorProto;
  readonly name: string;
  readonly shape: readonly number[];
  /** Takes part in pruning. */
  readonly prune: boolean;
  /** Takes part in weight decay. @default as `prune`: biases and scales do not */
  readonly decay?: boolean;
  /** How it is cut into groups, or whose channels it follows; undefined where single weights are pruned. */
  readonly grouped?: NativeGroupedTensor | undefined;
}

/** The same without its numbers, which lie in a store from then on. */
export type TrainedParameter = Omit<Parameter, 'tensor'>;

/** Inputs that hold numbers to learn, by operator; those of BatchNormalization's statistics are not among them. */
const learned: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  BatchNormalization: [1, 2],
  LayerNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  PRelu: [1],
  Gather: [0],
  Add: [0, 1],
  Mul: [0, 1],
};

/**
 * The parameters of a model in the order of its initializers.
 *
 * @throws SecateurError UNKNOWN_TENSOR where a glob matches nothing; NOTHING_PRUNABLE never: a model may be trained
 *   without being pruned; INVALID_OPTION where nothing is left to train.
 */
export function findParameters(model: ModelProto, filters: ParameterFilters = {}): Parameter[] {
  const initializers = model.graph?.initializer ?? [];
  const stays = unwanted(model, filters);
  const prunable = new Set(findPrunable(model, filters).prunable.map(({ tensor }) => tensor));
  const uses = learnedValues(model.graph?.node ?? []);
  const wanted = (name: string) => !stays.has(name) && (filters.trainable?.length ? true : uses.has(name));
  const parameters = initializers
    .filter((tensor) => wanted(tensor.name) && isLearnable(tensor, prunable.has(tensor)))
    .map((tensor) => ({
      tensor,
      name: tensor.name,
      shape: tensor.dims.map(Number),
      prune: prunable.has(tensor),
    }));
  if (parameters.length === 0) throw nothingToTrain(filters);
  return parameters;
}

/**
 * Initializers that the globs keep as they are, running statistics among them.
 *
 * @throws SecateurError UNKNOWN_TENSOR where a glob matches nothing.
 */
export function unwanted({ graph }: ModelProto, { trainable = [], frozen = [] }: ParameterFilters): Set<string> {
  const names = graph?.initializer.map(({ name }) => name) ?? [];
  const only = compilePatterns('trainable', trainable, names);
  const never = compilePatterns('frozen', frozen, names);
  const matches = (patterns: typeof only, name: string) => patterns.some((pattern) => pattern.matches(name));
  return new Set(names.filter((name) => (only.length > 0 && !matches(only, name)) || matches(never, name)));
}

/**
 * Weights that are not among the changing ones. Single numbers, integers, and what no operator learns, such as the factors
 * of a Resize, are part of the computation instead.
 */
export function findFrozen({ graph }: ModelProto, changing: readonly string[]): string[] {
  const names = new Set(changing);
  const uses = learnedValues(graph?.node ?? []);
  const isWeight = ({ name, dims, dataType }: TensorProto) =>
    !names.has(name) && uses.has(name) && dims.length > 0 && elementType(dataType).name === 'float32';
  return (graph?.initializer ?? []).filter(isWeight).map(({ name }) => name);
}

function learnedValues(nodes: readonly NodeProto[]): Set<string> {
  const values = new Set<string>();
  for (const node of nodes) {
    const inputs = isStandard(node) ? (learned[node.opType] ?? []) : [];
    for (const index of inputs) values.add(node.input[index] ?? '');
  }
  return values;
}

/** Single numbers are factors of the formula, such as the 0.5 of a GELU that was written out. */
function isLearnable(tensor: TensorProto, prunable: boolean): boolean {
  const elements = tensor.dims.reduce((product, size) => product * size, 1n);
  return elementType(tensor.dataType).name === 'float32' && (prunable || elements > 1n);
}

function nothingToTrain({ trainable, frozen }: ParameterFilters): SecateurError {
  const filtered = trainable !== undefined || frozen !== undefined;
  const advice = filtered ? 'trainable and frozen leave none' : 'it has no float32 initializer that an operator learns';
  return new SecateurError('INVALID_OPTION', `Expected the model to have something to train, but ${advice}`);
}
