// The walk: from a scalar loss back to the targets, over the nodes that lie on a path between them. It accumulates and
// unbroadcasts; the mathematics of the operators is in rules/. Only the main graph is walked.
import { SecateurError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import type { ModelProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { type Gradients, noGradient, type RuleContext, sum, type ValueFacts } from './rule.js';
import { ruleOf } from './rules/index.js';

export interface GradientOptions {
  /** The value to differentiate: one element. */
  readonly loss: Value;
  /** Initializers, inputs or computed values to differentiate with respect to. */
  readonly wrt: readonly Value[];
  /**
   * Shape and element type of every value, from one run of the model (see {@link shapeProbe}) with a batch of 2 or
   * more: a batch of 1 cannot be told from a dimension that is broadcast.
   */
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
}

/**
 * Adds the gradients of a loss to the model's graph, in place, and returns their names: `<target>_grad` where that is
 * free. A target that the loss does not depend on gets zeros.
 *
 * @throws SecateurError INVALID_OPTION where a value does not exist or the loss is not a scalar; UNSUPPORTED with all
 *   nodes on the way that have no rule.
 */
export function addGradients(model: ModelProto, options: GradientOptions): Map<Value, Value> {
  const { graph } = model;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  checkOptions(options);
  const nodes = [...graph.node];
  const path = pathBetween(nodes, options);
  const opset = Number(model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 1n);
  refuseUnsupported(path.nodes);
  const walk = new Walk(GraphBuilder.extend(graph), options.shapes, opset);
  walk.seed(options.loss);
  for (const node of path.nodes.toReversed()) walk.visit(node, path.active);
  return new Map(options.wrt.map((target) => [target, walk.name(target)]));
}

function checkOptions({ loss, wrt, shapes }: GradientOptions): void {
  for (const value of [loss, ...wrt]) {
    if (!shapes.has(value)) {
      throw new SecateurError('INVALID_OPTION', `Expected the name of a value in the model, got ${value}`);
    }
  }
  const shape = shapes.get(loss)?.shape ?? [];
  if (shape.some((size) => size !== 1)) {
    throw new SecateurError('INVALID_OPTION', `Expected the loss ${loss} to be a scalar, got shape [${shape}]`);
  }
}

/** The nodes that depend on a target and that the loss depends on, and the values that depend on a target. */
function pathBetween(nodes: readonly NodeProto[], { loss, wrt }: GradientOptions) {
  const active = new Set(wrt);
  for (const node of nodes) {
    if (ruleOf(node) !== noGradient && node.input.some((value) => active.has(value))) {
      for (const value of node.output) if (value !== '') active.add(value);
    }
  }
  const wanted = new Set([loss]);
  const onPath = nodes.toReversed().filter((node) => {
    const used = node.output.some((value) => wanted.has(value) && active.has(value));
    const flows = used && node.input.some((value) => active.has(value)) && ruleOf(node) !== noGradient;
    if (flows) for (const value of node.input) if (active.has(value)) wanted.add(value);
    return flows;
  });
  return { nodes: onPath.toReversed(), active };
}

function refuseUnsupported(nodes: readonly NodeProto[]): void {
  const missing = nodes.filter((node) => ruleOf(node) === undefined);
  if (missing.length === 0) return;
  const list = missing.map((node) => {
    const type = isStandard(node) ? node.opType : `${node.domain}.${node.opType}`;
    return `${type} (${node.name || `output ${node.output[0]}`})`;
  });
  throw new SecateurError('UNSUPPORTED', `Expected operators that have a gradient, got ${list.join(', ')}`);
}

/** The gradients so far. Contributions to a value are added up when it is asked for. */
class Walk {
  readonly #graph: GraphBuilder;
  readonly #shapes: ReadonlyMap<Value, ValueFacts>;
  readonly #opset: number;
  readonly #parts = new Map<Value, Value[]>();

  constructor(graph: GraphBuilder, shapes: ReadonlyMap<Value, ValueFacts>, opset: number) {
    this.#graph = graph;
    this.#shapes = shapes;
    this.#opset = opset;
  }

  seed(loss: Value): void {
    const { shape, dtype } = this.#facts(loss);
    const one = dtype === 'float64' ? Float64Array.of(1) : Float32Array.of(1);
    this.#parts.set(loss, [this.#graph.constant(shape, one)]);
  }

  visit(node: NodeProto, active: ReadonlySet<Value>): void {
    const rule = ruleOf(node);
    const dY = this.#total(node.output[0] ?? '');
    if (typeof rule !== 'function' || dY === undefined) return;
    const context: RuleContext = {
      node,
      opset: this.#opset,
      inputs: node.input,
      outputs: node.output,
      dY,
      graph: this.#graph,
      needs: (index) => active.has(node.input[index] ?? ''),
      facts: (value) => this.#facts(value),
      emit: (opType, inputs, attributes = {}) =>
        this.#graph.op(opType, inputs, attributes, { name: `${node.name || node.output[0]}/grad` }),
    };
    this.#collect(context, rule(context));
  }

  /** The gradient of a target under its own name. */
  name(target: Value): Value {
    const total = this.#total(target);
    const name = `${target}_grad`;
    if (total !== undefined) return this.#graph.op('Identity', [total], {}, { name });
    return this.#graph.op('Sub', [target, target], {}, { name });
  }

  #collect(context: RuleContext, gradients: Gradients): void {
    for (const [index, gradient] of gradients.entries()) {
      const input = context.inputs[index];
      if (gradient === null || input === undefined || !context.needs(index)) continue;
      const value = typeof gradient === 'string' ? gradient : this.#unbroadcast(context, input, gradient);
      this.#parts.set(input, [...(this.#parts.get(input) ?? []), value]);
    }
  }

  #unbroadcast(context: RuleContext, input: Value, gradient: { value: Value; shape: readonly number[] }): Value {
    const { shape } = this.#facts(input);
    const extra = gradient.shape.length - shape.length;
    const repeated = gradient.shape.flatMap((size, axis) =>
      axis >= extra && shape[axis - extra] === 1 && size !== 1 ? [axis] : [],
    );
    const leading = Array.from({ length: extra }, (_, axis) => axis);
    const kept = repeated.length > 0 ? sum(context, gradient.value, repeated, true) : gradient.value;
    return leading.length > 0 ? sum(context, kept, leading, false) : kept;
  }

  #total(value: Value): Value | undefined {
    const parts = this.#parts.get(value);
    if (parts === undefined || parts.length <= 1) return parts?.[0];
    const total = this.#graph.op('Sum', parts, {}, { name: `${value}/grad/sum` });
    this.#parts.set(value, [total]);
    return total;
  }

  #facts(value: Value): ValueFacts {
    const facts = this.#shapes.get(value);
    if (facts === undefined) throw new SecateurError('INTERNAL', `Expected the shape of ${value} to be known`);
    return facts;
  }
}
