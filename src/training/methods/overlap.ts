// How much ADMM's choice of weights differs from that of plain magnitude: a fact for the report.
import { ParameterStore } from '../parameter-store.js';
import type { Parameter } from '../parameters.js';
import type { Target } from './phases.js';

/**
 * The fraction of the weights in Z's support that a pruning by magnitude would keep too, in [0, 1]. Works on a copy: the
 * store is unchanged.
 */
export async function supportOverlap(
  store: ParameterStore,
  parameters: readonly Parameter[],
  target: Target,
): Promise<number> {
  const pruned = parameters.flatMap(({ name, shape, prune }, index) => {
    return prune ? [{ name, index, size: shape.reduce((product, size) => product * size, 1) }] : [];
  });
  const copy = ParameterStore.create(pruned.map(({ name, size }) => ({ name, size, prune: true })));
  try {
    for (const slot of ['parameters', 'admm'] as const) {
      const views = store.views(slot);
      for (const [at, view] of copy.views(slot).entries()) view.set(views[pruned[at]?.index ?? 0] ?? view);
    }
    const state = store.admmState;
    const thresholds = pruned.flatMap(({ index }) => state?.thresholds[index] ?? []);
    copy.admmState = state && { ...state, thresholds };
    await copy.setMaskByMagnitude(target);
    const { common, kept } = copy.setMask('support');
    return (
      common /
      Math.max(
        1,
        kept.reduce((sum, count) => sum + count, 0),
      )
    );
  } finally {
    copy.dispose();
  }
}
