// Turns a model as inference knows it into one to train: BatchNormalization takes the statistics of the batch, and
// Dropout drops. The gradients are the walk's business (gradient.ts).

import { SecateurError } from '../errors.js';
import { float } from '../onnx/build/attributes.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { copyModel } from '../onnx/copy.js';
import { isStandard } from '../onnx/graph.js';
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from '../onnx/schema/onnx_pb.js';
import { raiseOpset, setAttribute } from './raise-opset.js';
import { floatAttribute } from './rule.js';

export interface TrainingModeOptions {
  /** `batch` statistics, or `frozen` ones: those in the model, which then never change. @default 'batch' */
  readonly statistics?: 'batch' | 'frozen';
  /** Running means and variances that stay as they are even so; their nodes compute as in inference. @default none */
  readonly frozen?: ReadonlySet<Value>;
  /** Whether Dropout drops; else it stays as in inference. @default true */
  readonly dropout?: boolean;
  /** Seeds Dropout, 0 to 2^31 - 1: the same masks in every run of the program. @default 0 */
  readonly seed?: number;
}

export interface TrainingMode {
  /** A copy of the model, of operator set 16 or later; tensors share their bytes. */
  readonly model: ModelProto;
  /**
   * For each running mean and variance, an initializer [C], the value [C] that it should have after a run. With several
   * nodes over the same statistics, they are updated in the order of the graph.
   */
  readonly running: ReadonlyMap<Value, Value>;
}

/**
 * Switches BatchNormalization and Dropout to training. Running statistics follow ONNX: `momentum * old + (1 - momentum)
 * * batch`, with the variance of the batch divided by n. Nodes whose statistics are not initializers keep them.
 *
 * @throws SecateurError UNSUPPORTED where the operator set is below 11.
 */
export function toTrainingMode(model: ModelProto, options: TrainingModeOptions = {}): TrainingMode {
  const training = copyModel(model);
  const { graph } = training;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  raiseOpset(training);
  const { statistics = 'batch', frozen, dropout = true, seed = 0 } = options;
  const running = new Map<Value, Value>();
  const switcher = { graph, builder: GraphBuilder.extend(graph), running };
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  const nodes = graph.node;
  graph.node = []; // the builder appends to it
  let dropouts = 0;
  for (const node of nodes) {
    const type = isStandard(node) ? node.opType : '';
    const updates = node.input.slice(3, 5).every((value) => initializers.has(value) && !frozen?.has(value));
    if (type === 'Dropout' && dropout) switchDropout(node, switcher, seed + dropouts++);
    if (type === 'BatchNormalization' && updates && statistics === 'batch') addBatchNorm(node, switcher);
    else graph.node.push(node);
  }
  return { model: training, running };
}

interface Switcher {
  readonly graph: GraphProto;
  readonly builder: GraphBuilder;
  readonly running: Map<Value, Value>;
}

// Without momentum the node hands out the statistics of the batch, which its gradient needs; the running ones are
// mixed beside it. The runtime (1.30) writes the new statistics over the old ones, the caller's tensor or an
// initializer: so the node gets scratch tensors instead, a random one, which no optimiser folds or shares, and its
// negative.
function addBatchNorm(node: NodeProto, switcher: Switcher): void {
  const { graph, builder, running } = switcher;
  const momentum = floatAttribute(node, 'momentum', 0.9);
  const name = (what: string) => `${node.name || node.output[0]}/${what}`;
  const statistics = node.input.slice(3, 5);
  const asked = node.output.slice(1, 3);
  const batch = ['mean', 'variance'].map((what) => builder.fresh(name(`${what}/batch`)));
  const random = builder.op('RandomUniformLike', [statistics[0] ?? null], {}, { name: name('scratch') });
  const scratch = [random, builder.op('Neg', [random], {}, { name: name('scratch') })];
  node.input = [...node.input.slice(0, 3), ...scratch];
  node.output = [...node.output.slice(0, 1), ...batch];
  setAttribute(node, 'training_mode', 1);
  setAttribute(node, 'momentum', float(0));
  graph.node.push(node);
  for (const [index, statistic] of statistics.entries()) {
    const factors = [momentum, 1 - momentum].map((factor) => scalarOf(switcher, statistic, factor));
    const parts = [running.get(statistic) ?? statistic, batch[index] ?? null].map((value, part) =>
      builder.op('Mul', [value, factors[part] ?? null], {}, { name: name('part') }),
    );
    const updated = builder.op('Add', parts, {}, { name: name(index === 0 ? 'mean' : 'variance') });
    const add = graph.node.at(-1);
    if (asked[index] && add) add.output = [asked[index]]; // the name that the rest of the graph knows
    running.set(statistic, asked[index] || updated);
  }
}

function scalarOf({ graph, builder }: Switcher, statistic: Value, value: number): Value {
  const double = graph.initializer.find(({ name }) => name === statistic)?.dataType === DataType.DOUBLE;
  return double ? builder.constant([], Float64Array.of(value)) : builder.float32(value);
}

function switchDropout(node: NodeProto, { builder }: Switcher, seed: number): void {
  const [data = '', ratio = ''] = node.input;
  const yes = builder.op('Cast', [builder.int64(1)], { to: 9 }, { name: 'training' });
  node.input = [data, ratio, yes];
  setAttribute(node, 'seed', seed);
}
