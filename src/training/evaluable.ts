// A model with a loss behind its output, ready to be measured: what data must feed it and what comes out. What is needed
// beyond that to train it is in trainable.ts.
import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import {
  appendLoss,
  type CrossEntropy,
  type ElementLoss,
  type GraphLoss,
  type MergedLoss,
} from '../autodiff/losses.js';
import type { ValueFacts } from '../autodiff/rule.js';
import type { FeedSpecification } from '../data/feeds.js';
import { SecateurError } from '../errors.js';
import { GraphBuilder } from '../onnx/build/graph-builder.js';
import { copyModel } from '../onnx/copy.js';
import { type ModelProto, ModelProtoSchema } from '../onnx/schema/onnx_pb.js';
import { type InputShapes, probeShapes } from './probe.js';

/** The name of a loss, a loss with its options (the number of classes is the model's), or a loss as a model of its own. */
export type Loss = CrossEntropy['type'] | ElementLoss['type'] | Omit<CrossEntropy, 'classes'> | ElementLoss | GraphLoss;

export interface LossChoice {
  /** @default 'crossEntropy' */
  loss?: Loss;
  /** The output that the loss compares with the targets. @default the only output */
  lossOutput?: string | undefined;
  /** Shapes of inputs, with a batch of 2 or more, where the model leaves more than the batch open. */
  inputShapes?: InputShapes;
}

/** What data must feed, and where loss and scores are. */
export interface Evaluable {
  readonly inputs: readonly FeedSpecification[];
  /** The input of `inputs` that takes labels or targets. */
  readonly target: string;
  /** Name of the loss. */
  readonly loss: string;
  /** The output that the loss looks at. */
  readonly output: string;
  /** Of cross entropy. */
  readonly classes: number | undefined;
  /** The label that counts nothing, of cross entropy. */
  readonly ignoreIndex: number | undefined;
  /** The loss as text, to tell runs apart. */
  readonly lossOptions: string;
}

/**
 * A copy of the model with a loss, and the values that its gradients stop at.
 *
 * @throws SecateurError INVALID_OPTION, UNSUPPORTED, NO_RUNTIME, RUNTIME.
 */
export async function withLoss(
  model: ModelProto,
  options: LossChoice = {},
): Promise<{ model: ModelProto; evaluable: Evaluable; constants: MergedLoss['constants'] }> {
  const copy = copyModel(model);
  const output = lossOutput(copy, options.lossOutput);
  const loss = await resolveLoss(copy, output, options);
  const before = new Set(copy.graph?.input.map(({ name }) => name));
  const { loss: name, constants } = appendLoss(copy, {
    output,
    loss,
    target: unusedName(copy, loss.type === 'crossEntropy' ? 'labels' : 'target'),
  });
  const target = copy.graph?.input.find((input) => !before.has(input.name))?.name;
  if (target === undefined)
    throw new SecateurError('INVALID_OPTION', 'Expected a loss with an input of targets, got none');
  const evaluable = {
    inputs: feedsOf(copy),
    target,
    lossOptions: JSON.stringify({ ...loss, ...('model' in loss && { model: hashOf(loss.model) }) }),
    loss: name,
    output,
    classes: loss.type === 'crossEntropy' ? loss.classes : undefined,
    ignoreIndex: loss.type === 'crossEntropy' ? (loss.ignoreIndex ?? -100) : undefined,
  };
  return { model: copy, evaluable, constants };
}

/** The output to compare, by name or because there is only one. */
function lossOutput(model: ModelProto, wanted: string | undefined): string {
  const outputs = model.graph?.output.map(({ name }) => name) ?? [];
  const [first] = outputs;
  if (wanted === undefined && outputs.length === 1 && first !== undefined) return first;
  if (wanted !== undefined && outputs.includes(wanted)) return wanted;
  const known = outputs.map((name) => JSON.stringify(name)).join(', ');
  const got = wanted === undefined ? 'none: name one' : JSON.stringify(wanted);
  throw new SecateurError('INVALID_OPTION', `Expected lossOutput to be one of the outputs ${known}, got ${got}`, {
    option: 'lossOutput',
  });
}

async function resolveLoss(
  model: ModelProto,
  output: string,
  { loss = 'crossEntropy', inputShapes }: LossChoice,
): Promise<(CrossEntropy & { classes: number }) | ElementLoss | GraphLoss> {
  const asked = typeof loss === 'string' ? ({ type: loss } as ElementLoss | Omit<CrossEntropy, 'classes'>) : loss;
  if (asked.type !== 'crossEntropy') return asked;
  const facts = (await probeShapes(model, inputShapes)).get(output);
  return { ...asked, classes: classesOf(facts, output) };
}

function classesOf(facts: ValueFacts | undefined, output: string): number {
  const classes = facts?.shape[1];
  if (facts?.dtype === 'float32' && classes !== undefined && classes > 1) return classes;
  throw new SecateurError(
    'INVALID_OPTION',
    `Expected output ${output} to be logits of shape [batch, classes, ...] in float32 for cross entropy, got ` +
      `${facts?.dtype ?? 'nothing'} [${facts?.shape.join(', ') ?? ''}]; choose another lossOutput or loss`,
  );
}

function unusedName({ graph }: ModelProto, wish: string): string {
  return graph === undefined ? wish : GraphBuilder.extend(graph).fresh(wish);
}

function hashOf(model: ModelProto): string {
  return createHash('sha256').update(toBinary(ModelProtoSchema, model)).digest('hex');
}

const elementNames: Readonly<Record<number, FeedSpecification['type']>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  11: 'float64',
};

/** The inputs that data must feed: those that no initializer gives a value. */
export function feedsOf({ graph }: ModelProto): FeedSpecification[] {
  const initializers = new Set(graph?.initializer.map(({ name }) => name));
  const inputs = graph?.input.filter(({ name }) => !initializers.has(name)) ?? [];
  return inputs.map(({ name, type }) => {
    const tensorType = type?.value.case === 'tensorType' ? type.value.value : undefined;
    const element = elementNames[tensorType?.elemType ?? 0];
    if (element === undefined) {
      throw new SecateurError('UNSUPPORTED', `Expected input ${name} to be a tensor of numbers that data can feed`);
    }
    const dims = tensorType?.shape?.dim.map(({ value }) =>
      value.case === 'dimValue' ? Number(value.value) : (value.value ?? null),
    );
    return { name, type: element, dims: dims ?? [] };
  });
}
