// The files that a sweep leaves in its folder beside the points: the report as JSON, two tables as CSV, two charts as SVG.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  accuracyChart,
  isSecateurError,
  layerChart,
  layerTable,
  mainMetric,
  pointTable,
  type SweepReport,
} from '../../index.js';
import { ioError } from '../../io-error.js';
import { writeAtomically } from '../../onnx/write.js';
import type { Terminal } from '../terminal.js';

export interface SweepFiles {
  data: string | null;
  models: readonly SweepReport[];
}

/** Writes them all; their paths. */
export async function writeReports(folder: string, files: SweepFiles, terminal: Terminal): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw ioError('create', folder, error);
  }
  const { models } = files;
  const texts = {
    'report.json': `${JSON.stringify(files, null, 2)}\n`,
    'points.csv': pointTable(models),
    'layers.csv': layerTable(models),
    ...(await chartsOf(files, terminal)),
  };
  const paths: string[] = [];
  for (const [name, text] of Object.entries(texts)) {
    const path = join(folder, name);
    await writeAtomically(path, [Buffer.from(text)]);
    paths.push(path);
  }
  return paths;
}

/** Without the optional package that draws them, tables are still worth having. */
async function chartsOf({ data, models }: SweepFiles, terminal: Terminal): Promise<Record<string, string>> {
  try {
    const layers = { 'layers.svg': await layerChart(models, { data }) };
    const metric = models.map(mainMetric).find((name) => name !== undefined);
    return metric === undefined ? layers : { ...layers, [`${metric}.svg`]: await accuracyChart(models, { data }) };
  } catch (error) {
    if (!isSecateurError(error) || error.code !== 'UNSUPPORTED') throw error;
    terminal.warn(`no charts: ${error.message}`);
    return {};
  }
}
