import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import * as format from '../../src/cli/format.js';

describe('numbers', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [64_363_101, '64,363,101'],
  ])('count %d', (value, text) => expect(format.formatCount(value)).toBe(text));

  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [257_452_404, '257 MB'],
    [4e9, '4.00 GB'],
  ])('bytes %d', (value, text) => expect(format.formatBytes(value)).toBe(text));

  it.each([
    [0, '0 s'],
    [0.0000072, '7.20 us'],
    [0.0372, '37.2 ms'],
    [0.9996, '1.00 s'],
    [99.6, '1 min 40 s'],
    [Number.NaN, '-'],
  ])('seconds %d', (value, text) => expect(format.formatSeconds(value)).toBe(text));

  it.each([
    [1.274, '1.27x'],
    [15.62, '15.6x'],
    [476.3, '476x'],
  ])('factor %d', (value, text) => expect(format.formatFactor(value)).toBe(text));

  it('writes percentages with two digits', () => {
    expect(format.formatPercent(0.9)).toBe('90.00%');
    expect(format.formatPercent(Number.NaN)).toBe('-');
    expect(format.formatPercent(1)).toBe('100.00%');
    expect(format.formatPercent(0.999999)).toBe('>99.99%');
    expect(format.formatPercent(0.000001)).toBe('<0.01%');
  });
});

describe('names', () => {
  it('shortens in the middle', () => {
    expect(format.shortenMiddle('backbone.stage1.conv.weight', 13)).toBe('backbo…weight');
    expect(format.shortenMiddle('short', 5)).toBe('short');
    expect(format.shortenMiddle('anything', 1)).toBe('…');
  });

  it('never exceeds the width and never changes what fits', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
        const short = format.shortenMiddle(text, width);
        expect(stringWidth(short)).toBeLessThanOrEqual(width);
        if (stringWidth(text) <= width) expect(short).toBe(text);
      }),
    );
  });

  it('shows control characters instead of obeying them', () => {
    expect(format.printable('a\u001b[31mb\n')).toBe('a\\u{1b}[31mb\\u{a}');
    expect(format.printable('Gewichte_重み')).toBe('Gewichte_重み');
  });
});
