// The table's promise: no line is wider than it may be, numbers stay whole, names lose their middle.
import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { renderTable } from '../../src/cli/table.js';

const columns = [
  { header: 'tensor', shrink: true },
  { header: 'shape', align: 'right', leaves: 2 },
  { header: 'type', leaves: 4 },
  { header: 'weights', align: 'right' },
  { header: 'sparsity', align: 'right' },
] as const;

const rows = [
  ['backbone.stage1.block1.conv1.weight', '64x32x3x3', 'float32', '18,432', '90.00%'],
  ['fc', '10x500', 'float16', '5,000', '7.00%'],
];

describe('renderTable', () => {
  it('aligns numbers right and names left', () => {
    expect(renderTable({ columns, rows, width: 100 })).toEqual([
      'tensor                                   shape  type     weights  sparsity',
      'backbone.stage1.block1.conv1.weight  64x32x3x3  float32   18,432    90.00%',
      'fc                                      10x500  float16    5,000     7.00%',
    ]);
  });

  it('shortens names in the middle before it drops a column', () => {
    const [, first] = renderTable({ columns, rows, width: 66 });
    expect(first).toMatch(/^backbone\.s.*….*\.weight +64x32x3x3 +float32 +18,432 +90\.00%$/);
  });

  it('drops the least important columns first, and never those without a rank', () => {
    const lines = renderTable({ columns, rows, width: 40 });
    expect(lines[0]).not.toContain('type');
    expect(renderTable({ columns, rows, width: 32 })[0]).toMatch(/^tensor +weights +sparsity$/);
  });

  it('puts sums below a rule', () => {
    const lines = renderTable({ columns, rows, footer: ['2 tensors', '', '', '23,432', '83.00%'], width: 60 });
    expect(lines.at(-2)).toMatch(/^─+$/);
    expect(lines.at(-1)).toMatch(/^2 tensors +23,432 +83\.00%$/);
  });

  it('counts the rows that it leaves out', () => {
    const many = Array.from({ length: 100 }, (_, index) => [`t${index}`, '', '', '1', '']);
    const lines = renderTable({ columns, rows: many, width: 60, maxRows: 5 });
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['tensor', 't0', 't1', 't2', '…', 't98', 't99']);
    expect(lines[4]).toBe('… 95 more');
  });

  it('never gets wider than asked for, whatever the names', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 80 });
    fc.assert(
      fc.property(fc.array(name, { maxLength: 5 }), fc.integer({ min: 36, max: 200 }), (names, width) => {
        const cells = names.map((text) => [text, '512x512x3x3', 'bfloat16', '2,359,296', '100.00%']);
        for (const line of renderTable({ columns, rows: cells, width })) {
          expect(stringWidth(line)).toBeLessThanOrEqual(width);
        }
      }),
    );
  });
});
