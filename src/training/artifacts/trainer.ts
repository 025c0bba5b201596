// Training artifacts through the same trainer as models: open them, train, and write checkpoints that the official runtime
// loads again.
import type { EngineOptions } from '../trainer.js';
import { Trainer } from '../trainer.js';
import { type LoadArtifactsOptions, loadArtifacts } from './load.js';
import type { ArtifactPaths } from './paths.js';

/** The optimizer's settings and rate are the artifacts' where they are not given here. */
export interface ArtifactTrainerOptions extends LoadArtifactsOptions, EngineOptions {}

/**
 * A trainer over artifacts, official ones or ours, at the step where their checkpoint was saved.
 *
 * @throws SecateurError as `loadArtifacts` and `Trainer.create`.
 * @example
 * const trainer = await openArtifacts('artifacts/');
 * for await (const { loss } of trainer.fit(batches, { epochs: 3 })) console.log(loss);
 * await saveCheckpoint('artifacts/checkpoint', trainer);
 */
export async function openArtifacts(
  source: string | ArtifactPaths,
  options: ArtifactTrainerOptions = {},
): Promise<Trainer> {
  const { accumulate, averageDecay, threads, optimizer, ...loading } = options;
  const loaded = await loadArtifacts(source, loading);
  const own = { ...(loaded.optimizer ?? { type: 'adamw' as const }), learningRate: loaded.learningRate };
  const trainer = await Trainer.over(loaded, {
    optimizer: optimizer ?? own,
    ...(accumulate !== undefined && { accumulate }),
    ...(averageDecay !== undefined && { averageDecay }),
    ...(threads !== undefined && { threads }),
  });
  await trainer.setSteps(loaded.steps);
  return trainer;
}
