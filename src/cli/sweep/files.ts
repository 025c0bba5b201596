// The files that a sweep leaves in its folder beside the points: the report as JSON, and two tables as CSV.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { layerTable, pointTable, type SweepReport } from '../../index.js';
import { ioError } from '../../io-error.js';
import { writeAtomically } from '../../onnx/write.js';

export interface SweepFiles {
  data: string | null;
  models: readonly SweepReport[];
}

/** Writes them all; their paths. */
export async function writeReports(folder: string, { data, models }: SweepFiles): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw ioError('create', folder, error);
  }
  const texts = {
    'report.json': `${JSON.stringify({ data, models }, null, 2)}\n`,
    'points.csv': pointTable(models),
    'layers.csv': layerTable(models),
  };
  const paths: string[] = [];
  for (const [name, text] of Object.entries(texts)) {
    const path = join(folder, name);
    await writeAtomically(path, [Buffer.from(text)]);
    paths.push(path);
  }
  return paths;
}
