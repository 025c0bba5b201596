// Charts of sweeps: what the SVG says, for one model and for several; tables that other programs read.
import { beforeAll, describe, expect, it } from 'vitest';
import {
  accuracyChart,
  layerChart,
  layerTable,
  pointTable,
  type SweepPoint,
  type SweepReport,
} from '../../src/index.js';
import { allSeries, seriesLabels } from '../../src/sweep/series.js';

const RATIOS = [0.5, 0.7, 0.9];

/** As `sweep` reports it: `depth` layers of 100 weights, whose later ones lose more. */
function reportOf(name: string, depth: number): SweepReport {
  const layers = Array.from({ length: depth }, (_, index) => {
    return { name: `block${index}.conv.weight`, shape: [10, 10], weights: 100, kept: 100 };
  });
  const choice = { methods: ['magnitude', 'admm'], scopes: ['global', 'layer'], recalibrate: true } as const;
  const points = allSeries({ ...choice, retrainEpochs: [0, 3] }).flatMap((series) =>
    RATIOS.map((ratio): SweepPoint => {
      const kept = layers.map((_, index) =>
        Math.round(100 * (1 - ratio) * (series.scope === 'layer' ? 1 : 1 / (1 + index))),
      );
      const epochs = (series.method === 'admm' ? 24 : 0) + series.retrainEpochs;
      const metrics = { accuracy: epochs > 0 ? 0.9 - 0.01 * ratio : 0.9 - 0.8 * ratio, loss: ratio };
      const total = kept.reduce((sum, count) => sum + count, 0);
      return { ...series, ratio, epochs, kept: total, layers: kept, threshold: null, metrics, seconds: 1 };
    }),
  );
  const dense = { metrics: { accuracy: 0.9, loss: 0 } };
  return { model: `${name}.onnx`, name, weights: 100 * depth, dense, layers, points };
}

/** All texts of an SVG. */
const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);

describe('the chart of accuracies', () => {
  let svg = '';
  beforeAll(async () => {
    svg = await accuracyChart([reportOf('resnet56', 4)], { data: 'cifar-10 (test)' });
  });

  it('names model, data, dense accuracy, and every series once', () => {
    const texts = textsOf(svg);
    expect(texts).toContain('resnet56: accuracy of pruned models on cifar-10 (test)');
    expect(texts).toContain('Dense: 90.00% (dashed line)');
    const names = [
      'magnitude, global, one-shot',
      'magnitude, global, one-shot, BN recalibrated',
      'ADMM, layer, 27 epochs',
    ];
    for (const name of names) expect(texts.filter((text) => text === name)).toHaveLength(1);
  });

  it('shows trained points alone where the others squeeze them', async () => {
    const title = 'accuracy, close-up of trained points';
    expect(textsOf(svg)).toContain(title);
    const report = reportOf('resnet56', 4);
    const oneShot = { ...report, points: report.points.filter(({ epochs }) => epochs === 0) };
    expect(textsOf(await accuracyChart([oneShot]))).not.toContain(title);
  });

  it('needs nothing from elsewhere', () => {
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg).not.toMatch(/<(image|script|foreignObject)|href="http|@import|NaN|undefined/);
  });
});

describe('the heat map of layers', () => {
  it('names every layer, and says what each keeps at each ratio, for each choice of weights', async () => {
    const report = reportOf('resnet56', 4);
    const texts = textsOf(await layerChart([report]));
    expect(texts).toContain('resnet56: weights kept in every layer');
    expect(texts.filter((text) => /^block\d\.conv$/.test(text ?? ''))).toEqual(
      [0, 1, 2, 3].map((at) => `block${at}.conv`),
    );
    expect(texts.filter((text) => text === 'magnitude' || text === 'ADMM')).toHaveLength(2);
    const cells = texts.filter((text) => /^[\d.]+$/.test(text ?? ''));
    const wanted = report.points.slice(0, RATIOS.length).flatMap(({ layers }) => layers);
    const rising = (list: number[]) => list.toSorted((a, b) => a - b);
    expect(rising(cells.map(Number))).toEqual(rising([...wanted, ...wanted]));
  });

  it('puts models of different depths side by side', async () => {
    const texts = textsOf(await layerChart([reportOf('resnet20', 19), reportOf('resnet56', 55)], { data: 'cifar-10' }));
    expect(texts).toContain('In percent; the input is at the top, over relative depth. Data: cifar-10');
    for (const name of ['resnet20', 'resnet56']) {
      expect(texts).toContain(`${name}, magnitude`);
      expect(texts).toContain(`${name}, ADMM`);
    }
    // Depths are written once a row of panels.
    expect(texts.filter((text) => text === '100%')).toHaveLength(2);
  });
});

it('tables have a row for every point and layer, with quotes where they are needed', () => {
  const reports = [reportOf('resnet "20", tiny', 2)];
  const points = pointTable(reports).trimEnd().split('\r\n');
  expect(points[0]).toBe(
    'model,method,scope,retrain_epochs,recalibrated,ratio,epochs,weights,kept,sparsity,threshold,accuracy,loss,seconds',
  );
  expect(points).toHaveLength(1 + 10 * RATIOS.length);
  expect(points[1]).toBe('"resnet ""20"", tiny.onnx",magnitude,global,0,false,0.5,0,200,75,0.625,,0.5,0.5,1');
  const layers = layerTable(reports).trimEnd().split('\r\n');
  expect(layers).toHaveLength(1 + 2 * 10 * RATIOS.length);
  expect(layers[2]).toBe('"resnet ""20"", tiny.onnx",magnitude,global,0,false,0.5,1,block1.conv.weight,100,25,0.25');
});

it('labels say what tells series apart, and no more', () => {
  const base = { method: 'magnitude', scope: 'global', retrainEpochs: 0, recalibrated: false } as const;
  expect(seriesLabels([base, { ...base, scope: 'layer' }])).toEqual(['global', 'layer']);
  expect(seriesLabels([base])).toEqual(['magnitude, global, one-shot']);
  const trained = { ...base, retrainEpochs: 1, epochs: 1 };
  expect(seriesLabels([base, { ...base, recalibrated: true }, trained])).toEqual([
    'one-shot',
    'one-shot, BN recalibrated',
    '1 epoch',
  ]);
});
