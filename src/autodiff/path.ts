// Which nodes a gradient has to pass: those that depend on a target and that the loss depends on.
import { SecateurError } from '../errors.js';
import type { Value } from '../onnx/build/graph-builder.js';
import { isStandard } from '../onnx/graph.js';
import type { NodeProto } from '../onnx/schema/onnx_pb.js';
import { noGradient, type ValueFacts } from './rule.js';
import { ruleOf } from './rules/index.js';

export interface Path {
  /** In the order of the graph. */
  readonly nodes: readonly NodeProto[];
  /** The values that depend on a target. */
  readonly active: ReadonlySet<Value>;
}

export interface PathEnds {
  readonly loss: Value;
  readonly wrt: readonly Value[];
  readonly shapes: ReadonlyMap<Value, ValueFacts>;
  /** Values that count as constants. @default [] */
  readonly constants?: readonly Value[];
}

/**
 * The path between targets and loss. Integers and truth values carry nothing, whatever made them.
 *
 * @throws SecateurError UNSUPPORTED with all nodes on the path that have no rule.
 */
export function pathBetween(nodes: readonly NodeProto[], { loss, wrt, shapes, constants = [] }: PathEnds): Path {
  const active = new Set(wrt);
  const fixed = new Set(constants);
  const carries = (node: NodeProto) =>
    ruleOf(node) !== noGradient && [...node.input, ...outerValues(node)].some((value) => active.has(value));
  for (const node of nodes) {
    if (!carries(node)) continue;
    for (const value of node.output) {
      if (value !== '' && !fixed.has(value) && isReal(shapes.get(value))) active.add(value);
    }
  }
  const wanted = new Set([loss]);
  const onPath = nodes.toReversed().filter((node) => {
    const flows = node.output.some((value) => wanted.has(value) && active.has(value)) && carries(node);
    if (flows) for (const value of node.input) if (active.has(value)) wanted.add(value);
    return flows;
  });
  refuseUnsupported(onPath.toReversed());
  return { nodes: onPath.toReversed(), active };
}

function isReal(facts: ValueFacts | undefined): boolean {
  return facts === undefined || facts.dtype.includes('float');
}

/** What the subgraphs of If, Loop and Scan read from the graph around them (and more: their own values too). */
export function outerValues(node: NodeProto): Value[] {
  return node.attribute
    .flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]))
    .flatMap(({ node: inner }) => inner.flatMap((each) => [...each.input, ...outerValues(each)]));
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
