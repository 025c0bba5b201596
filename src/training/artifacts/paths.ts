// The files of training artifacts, under the names that the official tool gives them.
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SecateurError } from '../../errors.js';
import { ioError } from '../../io-error.js';

export interface ArtifactPaths {
  readonly training: string;
  readonly evaluation: string;
  readonly checkpoint: string;
  /** Its settings are the optimizer's; undefined where there is none. */
  readonly optimizer?: string | undefined;
}

/** The four files of a folder. */
export function artifactPaths(folder: string, prefix = ''): { readonly [Name in keyof ArtifactPaths]-?: string } {
  const path = (name: string) => join(folder, prefix + name);
  return {
    training: path('training_model.onnx'),
    evaluation: path('eval_model.onnx'),
    checkpoint: path('checkpoint'),
    optimizer: path('optimizer_model.onnx'),
  };
}

/**
 * The artifacts that are in a folder.
 *
 * @throws SecateurError IO; UNSUPPORTED where the models are in the ORT format only.
 */
export async function findArtifacts(folder: string, prefix = ''): Promise<ArtifactPaths> {
  try {
    if (!(await stat(folder)).isDirectory()) {
      throw new SecateurError('INVALID_OPTION', `Expected ${folder} to be a folder of training artifacts, got a file`);
    }
  } catch (error) {
    throw ioError('read', folder, error);
  }
  const paths = artifactPaths(folder, prefix);
  const ort = paths.training.replace(/\.onnx$/, '.ort');
  if (!existsSync(paths.training) && existsSync(ort)) {
    const advice = 'the .ort format is not read: make the artifacts without ort_format';
    throw new SecateurError('UNSUPPORTED', `Expected ${paths.training}, got ${ort}; ${advice}`, { path: ort });
  }
  return { ...paths, optimizer: existsSync(paths.optimizer) ? paths.optimizer : undefined };
}
