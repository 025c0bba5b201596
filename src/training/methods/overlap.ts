// How much ADMM's choice of weights differs from that of plain magnitude: a fact for the report.
import { nativeGrouping } from '../grouping.js';
import { ParameterStore } from '../parameter-store.js';
import type { Trainable } from '../trainable.js';
import type { Target } from './phases.js';

/**
 * The fraction of the weights in Z's support that a pruning by magnitude would keep too, in [0, 1]. Works on a copy: the
 * store is unchanged.
 */
export async function supportOverlap(
  store: ParameterStore,
  { parameters, grouping }: Pick<Trainable, 'parameters' | 'grouping'>,
  target: Target,
): Promise<number> {
  const pruned = parameters.flatMap(({ name, shape, prune, grouped }, index) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return prune || grouped !== undefined ? [{ name, index, size, prune, follow: !prune }] : [];
  });
  const copy = ParameterStore.create(pruned.map(({ index: _, ...options }) => options));
  try {
    copy.setGrouping(nativeGrouping(parameters, grouping));
    if (store.has('support')) {
      const support = store.supportViews();
      for (const [at, view] of copy.supportViews().entries()) view.set(support[pruned[at]?.index ?? 0] ?? view);
    }
    for (const slot of ['parameters', 'admm'] as const) {
      const views = store.views(slot);
      for (const [at, view] of copy.views(slot).entries()) view.set(views[pruned[at]?.index ?? 0] ?? view);
    }
    const state = store.admmState;
    const thresholds = pruned.flatMap(({ index }) => state?.thresholds[index] ?? []);
    copy.admmState = state && { ...state, thresholds };
    await copy.setMaskByMagnitude(target);
    const { common, kept } = copy.setMask('support');
    const all = kept.reduce((sum, count, at) => sum + (pruned[at]?.prune ? count : 0), 0);
    return common / Math.max(1, all);
  } finally {
    copy.dispose();
  }
}
