// The walk: from a scalar loss back to the targets, over the nodes that lie on a path between them. It accumulates and
// unbroadcasts; the mathematics of the operators is in rules/. Only the main graph is walked.
import { SecateurError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/build/graph-builder.js';
import { opsetOf } from '../onnx/opset.js';
import type { ModelProto, NodeProto } from '../onnx/schema/onnx_pb.js';
import { blocksOf } from './blocked-layout.js';
import { contrib, importDomain } from './opsets.js';
import { declareSizes } from './parameter-inputs.js';
import { type PathEnds, pathBetween } from './path.js';
import { type Blocks, type RuleContext, unbroadcast, type ValueFacts, zerosLike } from './rule.js';
import { ruleOf } from './rules/index.js';

export interface GradientOptions extends PathEnds {
  /** The value to differentiate: one element, float32 or float64. */
  readonly loss: Value;
  /** Initializers, inputs or computed values to differentiate with respect to. */
  readonly wrt: readonly Value[];
  /**
   * Shape and element type of every value, from one run of the model (see {@link shapeProbe}) with a batch of 2 or
   * more: a batch of 1 cannot be told from a dimension that is broadcast.
   */
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
  /**
   * Channels in a block of the runtime's blocked layout on this machine: faster convolutions, and a graph for this
   * machine's runtime only. @default the usual layout
   */
  readonly channelBlock?: number | undefined;
}

/**
 * Adds the gradients of a loss to the model's graph, in place, and returns their names: `<target>_grad` where that is
 * free. A target that the loss does not depend on gets zeros. Inputs keep an open batch; other sizes are now declared.
 *
 * @throws SecateurError INVALID_OPTION where a value does not exist or the loss is not a scalar; UNSUPPORTED with all
 *   nodes on the way that have no rule.
 */
export function addGradients(model: ModelProto, options: GradientOptions): Map<Value, Value> {
  return differentiate(model, options).gradients;
}

/** As {@link addGradients}; also the shape and type of every value that became part of a gradient on the way. */
export function differentiate(
  model: ModelProto,
  options: GradientOptions,
): { readonly gradients: Map<Value, Value>; readonly facts: ReadonlyMap<Value, ValueFacts> } {
  const { graph } = model;
  if (graph === undefined) throw new SecateurError('INVALID_MODEL', 'Expected a model with a graph, got none');
  checkOptions(options);
  declareSizes(graph, options.shapes);
  const path = pathBetween([...graph.node], options);
  const walk = new Walk(model, GraphBuilder.extend(graph), { ...options, active: path.active });
  walk.seed(options.loss);
  for (const node of path.nodes.toReversed()) walk.visit(node);
  const gradients = new Map(options.wrt.map((target) => [target, walk.name(target)]));
  return { gradients, facts: walk.facts };
}

function checkOptions({ loss, wrt, shapes }: GradientOptions): void {
  for (const value of [loss, ...wrt]) {
    const dtype = shapes.get(value)?.dtype;
    if (dtype === undefined) {
      throw new SecateurError('INVALID_OPTION', `Expected the name of a value in the model, got ${value}`);
    }
    if (dtype !== 'float32' && dtype !== 'float64') {
      throw new SecateurError('INVALID_OPTION', `Expected ${value} to be float32 or float64, got ${dtype}`);
    }
  }
  const shape = shapes.get(loss)?.shape ?? [];
  if (shape.some((size) => size !== 1)) {
    throw new SecateurError('INVALID_OPTION', `Expected the loss ${loss} to be a scalar, got shape [${shape}]`);
  }
}

interface Known {
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
  readonly active: ReadonlySet<Value>;
  readonly channelBlock?: number | undefined;
}

/** The gradients so far. Contributions to a value are added up when it is asked for. */
class Walk {
  readonly #model: ModelProto;
  readonly #graph: GraphBuilder;
  readonly #known: Known;
  readonly #parts = new Map<Value, Value[]>();
  /** Of the values in `#parts`, and of their sums. */
  readonly facts = new Map<Value, ValueFacts>();

  constructor(model: ModelProto, graph: GraphBuilder, known: Known) {
    this.#model = model;
    this.#graph = graph;
    this.#known = known;
  }

  seed(loss: Value): void {
    const { shape, dtype } = this.#facts(loss);
    const one = dtype === 'float64' ? Float64Array.of(1) : Float32Array.of(1);
    this.#parts.set(loss, [this.#graph.constant(shape, one)]);
  }

  visit(node: NodeProto): void {
    const rule = ruleOf(node);
    const reached = node.output.flatMap((value, index) => (this.#parts.has(value) ? [index] : []));
    if (typeof rule !== 'function' || reached.length === 0) return;
    const asked = new Set<number>();
    const context = this.#context(node, asked);
    const gradients = rule(context);
    const ignored = reached.find((index) => !asked.has(index));
    if (ignored !== undefined) {
      const which = `${node.opType} (${node.name || node.output[0]})`;
      throw new SecateurError('UNSUPPORTED', `Expected the loss not to depend on output ${ignored} of ${which}`);
    }
    for (const [index, gradient] of gradients.entries()) {
      const input = node.input[index];
      if (gradient === null || input === undefined || !context.needs(index)) continue;
      const value = typeof gradient === 'string' ? gradient : unbroadcast(context, input, gradient);
      this.#parts.set(input, [...(this.#parts.get(input) ?? []), value]);
      this.facts.set(value, this.#facts(input));
    }
  }

  /** The gradient of a target under its own name. */
  name(target: Value): Value {
    const total = this.#total(target);
    const name = `${target}_grad`;
    if (total !== undefined) return this.#graph.op('Identity', [total], {}, { name });
    return this.#graph.op('Sub', [target, target], {}, { name });
  }

  #context(node: NodeProto, asked: Set<number>): RuleContext {
    const name = `${node.name || node.output[0]}/grad`;
    const context: RuleContext = {
      node,
      opset: opsetOf(this.#model),
      inputs: node.input,
      outputs: node.output,
      get dY() {
        return context.dYs(0) ?? zerosLike(context, context.outputs[0] ?? '');
      },
      dYs: (index) => {
        asked.add(index);
        return this.#total(node.output[index] ?? '');
      },
      graph: this.#graph,
      needs: (index) => this.#known.active.has(node.input[index] ?? ''),
      facts: (value) => this.#facts(value),
      emit: (opType, inputs, attributes = {}) => this.#graph.op(opType, inputs, attributes, { name }),
      emitAll: (opType, inputs, count, attributes = {}) => this.#graph.ops(opType, inputs, count, attributes, { name }),
      emitContrib: (opType, inputs, attributes = {}) => {
        importDomain(this.#model, contrib);
        return this.#graph.op(opType, inputs, attributes, { name, domain: contrib });
      },
      blocks: this.#blocks(name),
    };
    return context;
  }

  #blocks(name: string): Blocks | undefined {
    const size = this.#known.channelBlock;
    return size === undefined ? undefined : blocksOf(this.#model, this.#graph, { name, size });
  }

  #total(value: Value): Value | undefined {
    const parts = this.#parts.get(value);
    if (parts === undefined || parts.length <= 1) return parts?.[0];
    const total = this.#graph.op('Sum', parts, {}, { name: `${value}/grad/sum` });
    this.#parts.set(value, [total]);
    this.facts.set(total, this.#facts(value));
    return total;
  }

  #facts(value: Value): ValueFacts {
    const facts = this.#known.shapes.get(value);
    if (facts === undefined) throw new SecateurError('INTERNAL', `Expected the shape of ${value} to be known`);
    return facts;
  }
}
