// A model together with its gradients, as a file to look at and to run: parameters stay initializers, so that data and
// labels are all that must be fed.
import { addGradients } from '../autodiff/gradient.js';
import type { ValueFacts } from '../autodiff/rule.js';
import { toTrainingMode } from '../autodiff/training-mode.js';
import { aborted, SecateurError } from '../errors.js';
import type { Value } from '../onnx/build/graph-builder.js';
import { valueInfo } from '../onnx/build/tensors.js';
import type { GraphProto, ModelProto, ValueInfoProto } from '../onnx/schema/onnx_pb.js';
import { writeModel } from '../onnx/write.js';
import { checkKeys } from '../options.js';
import { compilePatterns } from '../prune/patterns.js';
import { type LossChoice, withLoss } from './evaluable.js';
import { readWholeModel } from './model-file.js';
import { probeShapes } from './probe.js';

export interface WriteGradientOptions extends LossChoice {
  /** Globs on initializers and inputs to differentiate with respect to. */
  wrt: readonly string[];
  /** The model to write. */
  output: string;
  /** Stops before anything is written. */
  signal?: AbortSignal | undefined;
}

/** What was written. */
export interface GradientReport {
  readonly output: string;
  /** What must be fed, the labels or targets last. */
  readonly inputs: readonly string[];
  readonly target: string;
  readonly loss: string;
  readonly lossOutput: string;
  readonly gradients: readonly { readonly of: string; readonly name: string; readonly shape: readonly number[] }[];
  readonly nodes: { readonly forward: number; readonly all: number };
}

const KEYS = ['loss', 'lossOutput', 'inputShapes', 'wrt', 'output', 'signal'];

/**
 * Writes a model that computes a loss and its gradients, in training mode (batch statistics, dropout).
 *
 * @param model an ONNX file, or a model in memory with its tensors, which is not changed.
 * @throws SecateurError UNKNOWN_TENSOR where a glob matches nothing; UNSUPPORTED with all operators that have no gradient;
 *   INVALID_OPTION, IO, NO_RUNTIME.
 */
export async function writeGradient(
  model: string | ModelProto,
  options: WriteGradientOptions,
): Promise<GradientReport> {
  checkKeys('option', Object.keys(options), KEYS);
  const { wrt, output, signal } = options;
  const source = typeof model === 'string' ? readWholeModel(model) : model;
  const targets = findTargets(source, wrt);
  const { model: forward, evaluable, constants } = await withLoss(source, options);
  const mode = toTrainingMode(forward);
  const graph = mode.model.graph as GraphProto;
  const nodes = { forward: graph.node.length };
  const shapes = await probeShapes(mode.model, options.inputShapes);
  const gradients = addGradients(mode.model, { loss: evaluable.loss, wrt: targets, shapes, constants });
  graph.output = [valueInfo(evaluable.loss, 'float32', []), ...declare(graph, gradients, shapes)];
  if (signal?.aborted) throw aborted(signal);
  await writeModel(output, mode.model);
  return {
    output,
    inputs: evaluable.inputs.map(({ name }) => name),
    ...{ target: evaluable.target, loss: evaluable.loss, lossOutput: evaluable.output },
    gradients: [...gradients].map(([of, name]) => ({ of, name, shape: shapes.get(of)?.shape ?? [] })),
    nodes: { ...nodes, all: graph.node.length },
  };
}

/** The float32 initializers and inputs that match. */
function findTargets({ graph }: ModelProto, globs: readonly string[]): Value[] {
  const isFloat = (elemType: number | undefined) => elemType === 1;
  const initializers = graph?.initializer.filter(({ dataType }) => isFloat(dataType)).map(({ name }) => name) ?? [];
  const inputs = graph?.input.filter(({ type }) => {
    return type?.value.case === 'tensorType' && isFloat(type.value.value.elemType);
  });
  const names = [...new Set([...initializers, ...(inputs ?? []).map(({ name }) => name)])];
  const patterns = compilePatterns('wrt', globs, names);
  if (patterns.length === 0) {
    throw new SecateurError('INVALID_OPTION', 'Expected wrt to name initializers or inputs, got none', {
      option: 'wrt',
    });
  }
  return names.filter((name) => patterns.some((pattern) => pattern.matches(name)));
}

/** Gradients as outputs: of the sizes of parameters, and of inputs as these are declared. */
function declare(
  { input }: GraphProto,
  gradients: ReadonlyMap<Value, Value>,
  shapes: ReadonlyMap<Value, ValueFacts>,
): ValueInfoProto[] {
  return [...gradients].map(([of, name]) => {
    const declared = input.find((each) => each.name === of);
    if (declared !== undefined) return { ...declared, name };
    const facts = shapes.get(of);
    return valueInfo(name, facts?.dtype ?? 'float32', facts?.shape ?? []);
  });
}
