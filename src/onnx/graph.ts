// Names in a model: what each value is, seen from each scope. Subgraphs see the names around them; the body of a
// model-local function sees only its inputs, which are bound to what each call passes. No shapes, no types.

import { SecateurError } from '../errors.js';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
} from './schema/onnx_pb.js';

/** What a name stands for. `constant`: depends on nothing but initializers and Constants. */
export type Definition =
  | { kind: 'tensor'; origin: 'initializer' | 'node'; name: string; tensor: TensorProto; constant: true }
  | { kind: 'sparse'; name: string; constant: true }
  | { kind: 'computed'; name: string; node: NodeProto; scope: Scope; constant: boolean }
  | { kind: 'input'; name: string; constant: false };

/** A graph, a subgraph, or one call of a function. */
export interface Scope {
  /** '' for the main graph; otherwise it ends with a slash. Before a value's name it makes a readable path. */
  path: string;
  /** The scope whose names are visible here. */
  parent: Scope | undefined;
  nodes: readonly NodeProto[];
  /** The names of the scope's results. */
  outputs: readonly string[];
  /** In the order of the file: inputs and initializers, then what the nodes make. */
  definitions: Map<string, Definition>;
  /** In the body of a function: the call's attributes. */
  attributes: ReadonlyMap<string, AttributeProto>;
}

const MAX_DEPTH = 64;
const MAX_NODES = 1_000_000;
const MAX_HANDED_ON = 1000;
const noAttributes: ReadonlyMap<string, AttributeProto> = new Map();

/** Operators that hand on the elements of input 0, perhaps in another shape, order or type. */
const passThrough = new Set([
  'Identity',
  'Transpose',
  'Cast',
  'CastLike',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'QuantizeLinear',
  'DequantizeLinear',
]);

/** Whether a node is of ONNX's own operator set. */
export function isStandard(node: NodeProto): boolean {
  return node.domain === '' || node.domain === 'ai.onnx';
}

/** Whether a node only hands on its input 0. */
export function isPassThrough(node: NodeProto): boolean {
  return isStandard(node) && passThrough.has(node.opType);
}

/** What a name stands for, here or in the scopes around. */
export function lookUp(scope: Scope, name: string): Definition | undefined {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const definition = at.definitions.get(name);
    if (definition !== undefined) return definition;
  }
  return undefined;
}

/** Follows a value back through nodes that only hand it on. Undefined where that has no end. */
export function traceBack(start: Definition): Definition | undefined {
  let definition: Definition | undefined = start;
  for (let steps = 0; steps < MAX_HANDED_ON; steps++) {
    if (definition.kind !== 'computed' || !isPassThrough(definition.node)) return definition;
    const source: Definition | undefined = lookUp(definition.scope, definition.node.input[0] ?? '');
    if (source === undefined) return definition;
    definition = source;
  }
  return undefined;
}

/**
 * All scopes of a model: the main graph first, then subgraphs and function calls as the nodes come. A function that is
 * called twice gives two scopes over the same nodes and tensors. Training graphs are left out.
 *
 * @throws SecateurError INVALID_MODEL where functions call themselves; UNSUPPORTED where calls make too many nodes.
 */
export function scopesOf(model: ModelProto): Scope[] {
  const walk = new Walk(model);
  if (model.graph !== undefined) walk.graph(model.graph, '', undefined, noAttributes, 0);
  return walk.scopes;
}

class Walk {
  readonly scopes: Scope[] = [];
  readonly #functions = new Map<string, FunctionProto>();
  #nodes = 0;

  constructor(model: ModelProto) {
    for (const definition of model.functions) this.#functions.set(functionKey(definition, definition.name), definition);
  }

  graph(
    graph: GraphProto,
    path: string,
    parent: Scope | undefined,
    attributes: ReadonlyMap<string, AttributeProto>,
    depth: number,
  ): void {
    const outputs = graph.output.map(({ name }) => name);
    const scope: Scope = { path, parent, nodes: graph.node, outputs, definitions: new Map(), attributes };
    for (const { name } of graph.input)
      scope.definitions.set(name, { kind: 'input', name: path + name, constant: false });
    for (const { values } of graph.sparseInitializer) {
      if (values !== undefined) {
        scope.definitions.set(values.name, { kind: 'sparse', name: path + values.name, constant: true });
      }
    }
    for (const tensor of graph.initializer) {
      if (scope.definitions.get(tensor.name)?.constant === true) throw twice(path + tensor.name);
      scope.definitions.set(tensor.name, {
        kind: 'tensor',
        origin: 'initializer',
        name: path + tensor.name,
        tensor,
        constant: true,
      });
    }
    this.#enter(scope, depth);
  }

  #enter(scope: Scope, depth: number): void {
    if (depth > MAX_DEPTH) {
      throw new SecateurError(
        'INVALID_MODEL',
        `Expected at most ${MAX_DEPTH} graphs and functions inside each other, got more`,
      );
    }
    this.#nodes += scope.nodes.length;
    if (this.#nodes > MAX_NODES) {
      throw new SecateurError('UNSUPPORTED', `Expected at most ${MAX_NODES} nodes with functions expanded, got more`);
    }
    this.scopes.push(scope);
    for (const [index, node] of scope.nodes.entries()) this.#node(node, index, scope, depth);
  }

  #node(node: NodeProto, index: number, scope: Scope, depth: number): void {
    const called = this.#functions.get(functionKey(node, node.opType));
    if (called === undefined) this.#operator(node, index, scope, depth);
    else this.#call(node, called, scope, depth);
  }

  #operator(node: NodeProto, index: number, scope: Scope, depth: number): void {
    const inputs = node.input.filter((name) => name !== '');
    const known = inputs.length > 0 && inputs.every((name) => lookUp(scope, name)?.constant === true);
    let hasGraphs = false;
    for (const [name, graph] of graphsOf(node, scope)) {
      hasGraphs = true;
      this.graph(graph, `${scope.path}${labelOf(node, index)}/${name}/`, scope, scope.attributes, depth + 1);
    }
    for (const output of node.output) {
      const name = scope.path + output;
      const constant = isStandard(node) && node.opType === 'Constant' ? constantOf(node, scope, name) : undefined;
      const computed = { kind: 'computed', name, node, scope, constant: known && !hasGraphs } as const;
      scope.definitions.set(output, constant ?? computed);
    }
  }

  #call(node: NodeProto, called: FunctionProto, caller: Scope, depth: number): void {
    const scope: Scope = {
      path: `${called.name}/`,
      parent: undefined,
      nodes: called.node,
      outputs: [],
      definitions: new Map(),
      attributes: callAttributes(node, called, caller),
    };
    for (const [index, formal] of called.input.entries()) {
      const actual = node.input[index];
      const bound = actual === undefined || actual === '' ? undefined : lookUp(caller, actual);
      scope.definitions.set(formal, bound ?? { kind: 'input', name: scope.path + formal, constant: false });
    }
    this.#enter(scope, depth + 1);
    for (const [index, output] of node.output.entries()) {
      const result = lookUp(scope, called.output[index] ?? '');
      caller.definitions.set(output, result ?? { kind: 'input', name: caller.path + output, constant: false });
    }
  }
}

function twice(name: string): SecateurError {
  return new SecateurError('INVALID_MODEL', `Expected one initializer with the name ${name}, got two`, {
    tensor: name,
  });
}

function functionKey({ domain, overload }: { domain: string; overload: string }, name: string): string {
  return JSON.stringify([domain === 'ai.onnx' ? '' : domain, name, overload]);
}

/** The node's name, or one made of its operator and position. */
function labelOf(node: NodeProto, index: number): string {
  return node.name === '' ? `${node.opType.toLowerCase()}_${index}` : node.name;
}

/** An attribute, looked up in the call where the body of a function refers to one. */
export function attributeOf(node: NodeProto, name: string, scope: Scope): AttributeProto | undefined {
  const attribute = node.attribute.find((candidate) => candidate.name === name);
  if (attribute === undefined || attribute.refAttrName === '') return attribute;
  return scope.attributes.get(attribute.refAttrName);
}

function* graphsOf(node: NodeProto, scope: Scope): Generator<[string, GraphProto]> {
  for (const { name } of node.attribute) {
    const attribute = attributeOf(node, name, scope);
    if (attribute?.g !== undefined) yield [name, attribute.g];
    for (const [index, graph] of (attribute?.graphs ?? []).entries()) yield [`${name}_${index}`, graph];
  }
}

/** The definition of a Constant's output. Lists and scalars are values, but not tensors in the file. */
function constantOf(node: NodeProto, scope: Scope, name: string): Definition {
  const tensor = attributeOf(node, 'value', scope)?.t;
  if (tensor !== undefined) return { kind: 'tensor', origin: 'node', name, tensor, constant: true };
  if (attributeOf(node, 'sparse_value', scope) !== undefined) return { kind: 'sparse', name, constant: true };
  return { kind: 'computed', name, node, scope, constant: true };
}

/** What a call passes, with the function's defaults. */
function callAttributes(node: NodeProto, called: FunctionProto, caller: Scope): Map<string, AttributeProto> {
  const attributes = new Map(called.attributeProto.map((attribute) => [attribute.name, attribute]));
  for (const { name } of node.attribute) {
    const attribute = attributeOf(node, name, caller);
    if (attribute !== undefined) attributes.set(name, attribute);
  }
  return attributes;
}
