// Types that both parts of the addon's contract use: contract.ts and training-contract.ts. Internal.

/** `global`: one threshold over all tensors together. `layer`: one a tensor. */
export type Scope = 'global' | 'layer';

/** Opaque, type-tagged. */
export type SelectionHandle = { readonly __secateur: 'selection' };
