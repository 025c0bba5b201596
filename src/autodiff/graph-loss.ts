// A loss given as a model of its own, merged into the model to train.
import { create } from '@bufbuild/protobuf';
import { SecateurError } from '../errors.js';
import { attribute } from '../onnx/build/attributes.js';
import type { GraphBuilder, Value } from '../onnx/build/graph-builder.js';
import { copyModel } from '../onnx/copy.js';
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from '../onnx/schema/onnx_pb.js';

/**
 * A loss as a model: its inputs are values of the model to train and targets; its only output is the loss, one float32.
 * Its initializers are constants: they are not trained.
 */
export interface GraphLoss {
  readonly type: 'graph';
  readonly model: ModelProto;
  /**
   * For inputs of the loss, the values of the model that they are. The other inputs are targets: new inputs of the
   * model, under their own names. @default inputs that are named like an output of the model
   */
  readonly inputs?: Readonly<Record<string, Value>>;
  /** Values of the loss that count as constants: nothing flows back through them. @default [] */
  readonly constants?: readonly Value[];
}

/** A loss as a part of the model. */
export interface MergedLoss {
  readonly loss: Value;
  /** Values that nothing flows back through. */
  readonly constants: readonly Value[];
}

/**
 * Adds the loss's nodes to the model, under the names `loss/<name>`, and returns its output.
 *
 * @throws SecateurError INVALID_OPTION where the loss does not fit the model; UNSUPPORTED where it has functions of its
 *   own or another operator set.
 */
export function mergeLoss(builder: GraphBuilder, model: ModelProto, loss: GraphLoss): MergedLoss {
  const own = copyModel(loss.model);
  const { graph } = own;
  const [output, ...others] = graph?.output ?? [];
  if (graph === undefined || output === undefined || others.length > 0) {
    throw new SecateurError('INVALID_OPTION', `Expected a loss with one output, got ${graph?.output.length ?? 0}`);
  }
  if (own.functions.length > 0) {
    throw new SecateurError('UNSUPPORTED', `Expected a loss without functions, got ${own.functions[0]?.name}`);
  }
  importSets(model, own);
  const names = bind(builder, model, graph, loss.inputs ?? {});
  for (const tensor of graph.initializer) {
    const name = builder.fresh(`loss/${tensor.name}`);
    names.set(tensor.name, name);
    const value = attribute('value', { ...tensor, name: '' });
    builder.graph.node.push(create(NodeProtoSchema, { name, opType: 'Constant', output: [name], attribute: [value] }));
  }
  for (const node of graph.node) builder.graph.node.push(renamed(node, names, builder));
  const result = names.get(output.name);
  if (result === undefined) throw new SecateurError('INVALID_OPTION', `Expected the loss to compute ${output.name}`);
  const constants = (loss.constants ?? []).map((value) => {
    const merged = names.get(value);
    if (merged !== undefined) return merged;
    throw new SecateurError('INVALID_OPTION', `Expected constants to be values of the loss, got ${value}`);
  });
  return { loss: builder.op('Reshape', [result, builder.int64([])], {}, { name: 'loss/scalar' }), constants };
}

/** The loss may use what the model uses, and operator sets that it does not use. */
function importSets(model: ModelProto, loss: ModelProto): void {
  const plain = (domain: string) => (domain === 'ai.onnx' ? '' : domain);
  for (const { domain, version } of loss.opsetImport) {
    const same = model.opsetImport.find((known) => plain(known.domain) === plain(domain));
    if (same === undefined) model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version }));
    else if (same.version !== version) {
      throw new SecateurError(
        'UNSUPPORTED',
        `Expected a loss of the model's operator set ${plain(domain) || 'ai.onnx'} ${same.version}, got ${version}`,
      );
    }
  }
}

/** The names in the model of the loss's inputs. Inputs that are no value of the model are added to it. */
function bind(
  builder: GraphBuilder,
  { graph: trained }: ModelProto,
  loss: GraphProto,
  given: Readonly<Record<string, Value>>,
): Map<Value, Value> {
  const outputs = new Set(trained?.output.map(({ name }) => name));
  const known = new Set([...outputs, ...(trained?.node.flatMap(({ output }) => output) ?? [])]);
  const filled = new Set(loss.initializer.map(({ name }) => name)); // in old files they are inputs too
  const free = loss.input.filter(({ name }) => !filled.has(name));
  const inputs = new Set(free.map(({ name }) => name));
  for (const [name, value] of Object.entries(given)) {
    if (inputs.has(name) && known.has(value)) continue;
    const wrong = inputs.has(name) ? `${value} for a value of the model` : `${name} for an input of the loss`;
    throw new SecateurError('INVALID_OPTION', `Expected inputs of the loss and values of the model, got ${wrong}`);
  }
  const names = new Map<Value, Value>();
  for (const input of free) {
    const value = given[input.name] ?? (outputs.has(input.name) ? input.name : undefined);
    names.set(input.name, value ?? input.name);
    if (value !== undefined) continue;
    claim(builder, input.name);
    builder.graph.input.push(input);
  }
  if (![...names.values()].some((value) => known.has(value))) {
    const list = [...inputs].join(', ');
    throw new SecateurError('INVALID_OPTION', `Expected a loss with an output of the model as input, got ${list}`);
  }
  return names;
}

/** Takes a name for an input, or says that it is taken. */
export function claim(builder: GraphBuilder, name: string): void {
  if (builder.fresh(name) === name) return;
  throw new SecateurError('INVALID_OPTION', `Expected an unused name for the targets, got ${name}`);
}

function renamed(node: NodeProto, names: Map<Value, Value>, builder: GraphBuilder): NodeProto {
  for (const value of node.output) if (value !== '') names.set(value, builder.fresh(`loss/${value}`));
  node.name = node.name === '' ? '' : builder.fresh(`loss/${node.name}`);
  node.input = node.input.map((value) => names.get(value) ?? value);
  node.output = node.output.map((value) => names.get(value) ?? value);
  for (const { g, graphs } of node.attribute) {
    for (const graph of g === undefined ? graphs : [g, ...graphs]) renameInside(graph, names, builder);
  }
  return node;
}

/** A subgraph sees the names around it, and has some of its own. */
function renameInside(graph: GraphProto, outer: ReadonlyMap<Value, Value>, builder: GraphBuilder): void {
  const names = new Map(outer);
  for (const item of [...graph.input, ...graph.initializer]) {
    const name = builder.fresh(`loss/${item.name}`);
    names.set(item.name, name);
    item.name = name;
  }
  for (const node of graph.node) renamed(node, names, builder);
  for (const output of graph.output) output.name = names.get(output.name) ?? output.name;
}
