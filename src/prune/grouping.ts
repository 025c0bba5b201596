// The grouping of a model's prunable tensors for a granularity: how each is cut, which channels go together, which
// vectors follow them, and the reason for every tensor that has no place in it.
import type { NativeGroupedTensor, NativeGrouping } from '../native/groups-contract.js';
import type { ModelProto, TensorProto } from '../onnx/schema/onnx_pb.js';
import { shapeOf } from '../onnx/shape.js';
import { analyseChannels, type ChannelFacts, type WeightRows } from './channels/analysis.js';
import type { GranularityParts } from './granularity.js';
import { type MatrixViews, matrixViews } from './matrix-view.js';
import type { Skipped } from './prunable.js';
import { type WeightUse, weightUsesOf } from './weight-uses.js';

/** A tensor that is to be grouped: a prunable one. */
export interface GroupableTensor {
  name: string;
  shape: readonly number[];
  tensor: TensorProto;
}

/** A vector that becomes zero with its channels: a bias, the scale and offset of a BatchNormalization. */
export interface FollowingTensor {
  tensor: TensorProto;
  grouped: NativeGroupedTensor;
  /** It cannot be changed; the reason. */
  stays?: string | undefined;
}

export interface ModelGrouping {
  rule: NativeGrouping['rule'];
  keep: number;
  /** Of the tensors that have a place in it. */
  tensors: ReadonlyMap<TensorProto, NativeGroupedTensor>;
  skipped: Skipped[];
  following: FollowingTensor[];
}

/**
 * Cuts tensors into groups. `weight` is no grouping: callers leave the native one out.
 *
 * @param prunable Those that take part; channels that belong together with those of other weights stay.
 */
export function groupTensors(
  model: ModelProto,
  prunable: readonly GroupableTensor[],
  parts: Exclude<GranularityParts, { kind: 'weight' }>,
): ModelGrouping {
  const uses = weightUsesOf(model);
  const views = new Map(prunable.map(({ tensor, shape }) => [tensor, matrixViews(uses.get(tensor) ?? [], shape)]));
  if (parts.kind === 'channel') return byChannel(model, prunable, views, uses);
  const tensors = new Map<TensorProto, NativeGroupedTensor>();
  const skipped: Skipped[] = [];
  for (const { name, tensor } of prunable) {
    const grouped = cut(views.get(tensor), parts);
    if (typeof grouped === 'string') skipped.push({ name, reason: grouped });
    else tensors.set(tensor, grouped);
  }
  const within = parts.kind === 'within';
  return { rule: within ? 'within' : 'whole', keep: within ? parts.keep : 0, tensors, skipped, following: [] };
}

function cut(
  views: MatrixViews | string | undefined,
  parts: Exclude<GranularityParts, { kind: 'weight' | 'channel' }>,
): NativeGroupedTensor | string {
  if (views === undefined || typeof views === 'string') return views ?? 'not the weight of an operator';
  if (parts.kind === 'block') {
    return { view: views.outputs, blockRows: parts.rows, blockColumns: parts.columns, follows: false };
  }
  const columns = columnsOf(views.inputs);
  if (columns % parts.of !== 0) return `its inputs (${columns}) are no multiple of ${parts.of}`;
  return { view: views.inputs, blockRows: 1, blockColumns: parts.of, follows: false };
}

const columnsOf = ({ outer, inner }: NativeGroupedTensor['view']): number => outer * inner;
const rowsOf = ({ batches, rows }: NativeGroupedTensor['view']): number => batches * rows;

function byChannel(
  model: ModelProto,
  prunable: readonly GroupableTensor[],
  views: ReadonlyMap<TensorProto, MatrixViews | string>,
  uses: ReadonlyMap<TensorProto, readonly WeightUse[]>,
): ModelGrouping {
  const rows = new Map<TensorProto, WeightRows>();
  for (const [tensor, some] of uses) {
    const known = views.get(tensor) ?? matrixViews(some, shapeOf(tensor, tensor.name).dims);
    if (typeof known === 'string') continue;
    const stays = views.has(tensor) ? undefined : 'it is not pruned';
    rows.set(tensor, { name: tensor.name, rows: rowsOf(known.outputs), stays });
  }
  const facts = analyseChannels(model, rows);
  const numbers = new SetNumbers(facts);
  const tensors = new Map<TensorProto, NativeGroupedTensor>();
  const skipped: Skipped[] = [];
  for (const { name, tensor } of prunable) {
    const grouped = channelsOf(views.get(tensor), facts.channels.get(tensor), numbers);
    if (typeof grouped === 'string') skipped.push({ name, reason: grouped });
    else tensors.set(tensor, grouped);
  }
  return { rule: 'whole', keep: 0, tensors, skipped, following: followingOf(facts, numbers) };
}

/** The sets as the addon wants them: numbered from 0, with -1 for channels that stay. */
class SetNumbers {
  readonly #facts: ChannelFacts;
  readonly #numbers = new Map<number, number>();

  constructor(facts: ChannelFacts) {
    this.#facts = facts;
  }

  of(channels: Int32Array): Int32Array {
    return channels.map((channel) => {
      if (this.reasonOf(channel) !== undefined) return -1;
      const root = this.#facts.sets.rootOf(channel);
      const number = this.#numbers.get(root) ?? this.#numbers.size;
      this.#numbers.set(root, number);
      return number;
    });
  }

  reasonOf(channel: number | undefined): string | undefined {
    return channel === undefined ? undefined : this.#facts.sets.reasonOf(channel);
  }
}

function channelsOf(
  views: MatrixViews | string | undefined,
  channels: Int32Array | undefined,
  numbers: SetNumbers,
): NativeGroupedTensor | string {
  if (views === undefined || typeof views === 'string') return views ?? 'not the weight of an operator';
  const sets = numbers.of(channels ?? new Int32Array());
  if (sets.length > 0 && sets.every((set) => set < 0)) return `its output channels ${numbers.reasonOf(channels?.[0])}`;
  return {
    view: views.outputs,
    blockRows: 1,
    blockColumns: Math.max(1, columnsOf(views.outputs)),
    sets,
    follows: false,
  };
}

/** Vectors with at least one channel that may go. */
function followingOf(facts: ChannelFacts, numbers: SetNumbers): FollowingTensor[] {
  const following: FollowingTensor[] = [];
  for (const { tensor, channels, stays } of facts.followers) {
    const sets = numbers.of(channels);
    if (sets.every((set) => set < 0)) continue;
    const view = { batches: 1, outer: 1, rows: channels.length, inner: 1 };
    following.push({ tensor, grouped: { view, blockRows: 1, blockColumns: 1, sets, follows: true }, stays });
  }
  return following;
}
