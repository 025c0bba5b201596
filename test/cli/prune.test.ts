// `secateur prune` and `inspect` from outside: the JSON contract, what is written and what is not, tables, failures.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { secateur, temporaryFolder } from './secateur.js';

const WEIGHTS = 430_500; // of LeNet-5 in its Caffe shape
const temporary = temporaryFolder();
let model = '';

beforeAll(async () => {
  model = temporary.path('lenet5.onnx');
  const { code, stderr } = await secateur(['new', 'lenet5', '-o', model, '--quiet']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** A folder of its own, so that what lies in it afterwards is what the program left. */
function freshFolder(name: string): string {
  const folder = temporary.path(name);
  mkdirSync(folder);
  return folder;
}

describe('prune --json', () => {
  it('prints one object that holds to the contract, counted from the written file', async () => {
    const output = path.join(freshFolder('contract'), 'pruned.onnx');
    const { code, stdout, stderr } = await secateur(['prune', model, '-o', output, '--ratio', '0.9', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    const removed = Math.round(0.9 * WEIGHTS);
    expect(report).toMatchObject({
      model,
      output,
      scope: 'global',
      ratio: 0.9,
      weights: WEIGHTS,
      removed,
      device: 'cpu',
    });
    expect(report.kept).toBe(WEIGHTS - removed);
    expect(report.threshold).toBeGreaterThan(0);
    expect(report.threads).toBeGreaterThanOrEqual(1);
    for (const key of ['select', 'apply', 'total']) expect(report.seconds[key]).toBeGreaterThanOrEqual(0);
    expect(report.tensors).toHaveLength(4);
    const sum = report.tensors.reduce((total: number, tensor: { removed: number }) => total + tensor.removed, 0);
    expect(sum).toBe(removed);
    expect(report.tensors[0]).toMatchObject({ shape: [20, 1, 5, 5], dtype: 'float32', weights: 500 });
    expect(report.skipped.every(({ reason }: { reason: string }) => reason.length > 0)).toBe(true);

    const inspected = JSON.parse((await secateur(['inspect', output, '--json'])).stdout);
    const zeros = inspected.prunable.reduce((total: number, tensor: { zeros: number }) => total + tensor.zeros, 0);
    expect(zeros).toBe(removed);
    expect(statSync(output).size).toBe(statSync(model).size);
  });

  it('writes the same bytes with one thread and with several', async () => {
    const folder = freshFolder('threads');
    const outputs = ['1', '2', '3'].map((threads) => path.join(folder, `${threads}.onnx`));
    for (const [index, output] of outputs.entries()) {
      const { code } = await secateur(['prune', model, '-o', output, '-r', '0.77', '--threads', `${index + 1}`, '-q']);
      expect(code).toBe(0);
    }
    expect(new Set(outputs.map(digest)).size).toBe(1);
  });

  it('takes --scope, --min-keep, --include and --exclude', async () => {
    const { prunable } = JSON.parse((await secateur(['inspect', model, '--json'])).stdout);
    const [first, second] = prunable as { name: string; weights: number }[];
    const args = ['prune', model, '--dry-run', '--json', '--ratio', '0.9'];
    const layer = JSON.parse((await secateur([...args, '--scope', 'layer'])).stdout);
    expect(layer.threshold).toBeNull();
    for (const tensor of layer.tensors) expect(tensor.removed).toBe(Math.round(0.9 * tensor.weights));
    const kept = JSON.parse((await secateur([...args, '--min-keep', '0.05'])).stdout);
    for (const tensor of kept.tensors) expect(tensor.removed).toBeLessThanOrEqual(0.95 * tensor.weights);
    const fewer = JSON.parse((await secateur([...args, '--exclude', first!.name, '--exclude', second!.name])).stdout);
    expect(fewer.weights).toBe(WEIGHTS - first!.weights - second!.weights);
  });
});

describe('what is written', () => {
  it('--dry-run writes nothing and says so', async () => {
    const folder = freshFolder('dry');
    const before = digest(model);
    const output = path.join(folder, 'o.onnx');
    const { code, stdout } = await secateur(['prune', model, '-o', output, '-r', '0.9', '--dry-run']);
    expect(code).toBe(0);
    expect(stdout).toContain('Would remove 387,450 of 430,500 weights');
    expect(stdout).toContain('Nothing was written');
    expect(readdirSync(folder)).toEqual([]);
    expect(digest(model)).toBe(before);
  });

  it('the output may be the input', async () => {
    const folder = freshFolder('inplace');
    const own = path.join(folder, 'own.onnx');
    const other = path.join(folder, 'other.onnx');
    writeFileSync(own, readFileSync(model));
    expect((await secateur(['prune', own, '-o', other, '-r', '0.5', '-q'])).code).toBe(0);
    expect((await secateur(['prune', own, '-o', own, '-r', '0.5', '-q'])).code).toBe(0);
    expect(digest(own)).toBe(digest(other));
    expect(readdirSync(folder).sort()).toEqual(['other.onnx', 'own.onnx']);
  });

  it('--quiet prints nothing', async () => {
    const output = path.join(freshFolder('quiet'), 'o.onnx');
    const outcome = await secateur(['prune', model, '-o', output, '-r', '0.9', '--quiet']);
    expect(outcome).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('says what did not become smaller or faster', async () => {
    const output = path.join(freshFolder('truth'), 'o.onnx');
    const { stdout } = await secateur(['prune', model, '-o', output, '-r', '0.9']);
    expect(stdout).toContain('is as large as the input');
  });

  it('a written output is no failure, though its size when packed cannot be told', async () => {
    const folder = freshFolder('untold');
    const [odd, output] = [path.join(folder, 'odd.onnx'), path.join(folder, 'o.onnx')];
    // Metadata that say that the model is packed, which it is not: field 14 of the model, with a key and a value.
    const entry = Buffer.from('\x72\x16\x0a\x0fsecateur_packed\x12\x039e9', 'latin1');
    writeFileSync(odd, Buffer.concat([readFileSync(model), entry]));
    const { code, stdout, stderr } = await secateur(['prune', odd, '-o', output, '-r', '0.9']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('makes it smaller');
    expect(statSync(output).size).toBe(statSync(odd).size);
  });

  it('warns of a tensor that lost every weight', async () => {
    const { stderr } = await secateur(['prune', model, '-r', '0.9999', '--dry-run']);
    expect(stderr).toMatch(/^secateur: warning: .* lost every weight; --min-keep/);
  });
});

describe('tables', () => {
  it.each([60, 80, 200])('fit %d columns', async (columns) => {
    const env = { COLUMNS: String(columns) };
    const outcomes = [
      await secateur(['inspect', model], { env }),
      await secateur(['prune', model, '-r', '0.9', '--dry-run'], { env }),
      await secateur(['prune', model, '-r', '0.9', '--dry-run', '--scope', 'layer'], { env }),
    ];
    for (const { code, stdout } of outcomes) {
      expect(code).toBe(0);
      for (const line of stdout.split('\n')) expect(Array.from(line).length).toBeLessThanOrEqual(columns);
    }
  });

  it('have sums, separators, and skipped tensors grouped by reason', async () => {
    const args = ['inspect', model, '--exclude', 'conv*'];
    const { stdout } = await secateur(args, { env: { COLUMNS: '80' } });
    expect(stdout).toMatch(/^2 tensors +405,000 +0 +0\.00%$/m);
    expect(stdout).toMatch(/^Left as they are: 2 tensors\n +2 {2}.+\n +conv1\.weight, conv2\.weight$/m);
  });

  it('are plain text in a pipe, and coloured where colours are forced', async () => {
    const escapeCharacter = String.fromCharCode(27);
    expect((await secateur(['inspect', model])).stdout).not.toContain(escapeCharacter);
    expect((await secateur(['inspect', model], { env: { FORCE_COLOR: '1' } })).stdout).toContain(escapeCharacter);
    const both = await secateur(['inspect', model], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } });
    expect(both.stdout).not.toContain(escapeCharacter);
  });
});

describe('failures leave one sentence, exit code 1 and no file', () => {
  const cases: [string, (folder: string) => string[]][] = [
    ['no such model', (folder) => ['prune', 'missing.onnx', '-o', path.join(folder, 'o.onnx'), '-r', '0.5']],
    ['a folder as model', (folder) => ['prune', folder, '-o', path.join(folder, 'o.onnx'), '-r', '0.5']],
    ['no such output folder', (folder) => ['prune', model, '-o', path.join(folder, 'no/o.onnx'), '-r', '0.5']],
    ['a file as output folder', (folder) => ['prune', model, '-o', path.join(model, 'o.onnx'), '-r', folder && '0.5']],
    ['a folder as output', (folder) => ['prune', model, '-o', folder, '-r', '0.5']],
    [
      'unknown tensor',
      (folder) => ['prune', model, '-o', path.join(folder, 'o.onnx'), '-r', '0.5', '--exclude', 'nope'],
    ],
    ['not ONNX', (folder) => ['prune', import.meta.filename, '-o', path.join(folder, 'o.onnx'), '-r', '0.5']],
    ['new in no folder', (folder) => ['new', 'lenet5', '-o', path.join(folder, 'no/o.onnx')]],
  ];
  it.each(cases)('%s', async (name, args) => {
    const folder = freshFolder(name.replaceAll(' ', '-'));
    const { code, stdout, stderr } = await secateur([...args(folder), '--json']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^secateur: (?!internal error)[^\n]+\n$/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(process.platform !== 'linux')('a file system that takes no files', async () => {
    const { code, stderr } = await secateur(['prune', model, '-o', '/proc/pruned.onnx', '-r', '0.5']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^secateur: (?!internal error)[^\n]*\/proc[^\n]*\n$/);
  });

  it('shows the stack with SECATEUR_DEBUG', async () => {
    const { stderr } = await secateur(['inspect', 'missing.onnx'], { env: { SECATEUR_DEBUG: '1' } });
    expect(stderr).toMatch(/^secateur: .*\nSecateurError: .*\n +at /);
  });
});

// Needs a small file system of its own, which only root can mount.
const mayMount = process.platform === 'linux' && process.getuid?.() === 0;

describe.skipIf(!mayMount)('a full disk (needs root)', () => {
  it('leaves the old file and no temporary one', async ({ skip }) => {
    const folder = freshFolder('full');
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'secateur-test', folder], { stdio: 'pipe' });
    } catch {
      skip('root in a container that may not mount');
    }
    try {
      const output = path.join(folder, 'o.onnx');
      writeFileSync(output, 'old');
      const { code, stdout, stderr } = await secateur(['prune', model, '-o', output, '-r', '0.5']);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^secateur: [^\n]*(ENOSPC|full|space)[^\n]*\n$/i);
      expect(readFileSync(output, 'utf8')).toBe('old');
      expect(readdirSync(folder)).toEqual(['o.onnx']);
    } finally {
      execFileSync('umount', [folder]);
    }
  });
});

describe('prune --granularity', () => {
  it('prunes channels and says how many, with what follows them', async () => {
    const output = path.join(freshFolder('channels'), 'pruned.onnx');
    const args = ['prune', model, '-o', output, '-r', '0.5', '-g', 'channel'];
    const { code, stdout, stderr } = await secateur(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/fc1\.weight +500x800 +float32 +\d+ of 500 +400,000/);
    expect(stdout).toMatch(/\d+ of 570 channels and sets of channels, those with a root mean square below 0\.0\d+/);
    expect(stdout).toContain('its output channels are those of the output logits');
    expect(stdout).toContain('`secateur compact` takes the dead channels out');
  });

  it('prunes 2:4 without a ratio', async () => {
    const output = path.join(freshFolder('two-four'), 'pruned.onnx');
    const { code, stdout } = await secateur(['prune', model, '-o', output, '-g', '2:4', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ granularity: '2:4', ratio: 0.5, removed: 430_000 / 2, threshold: null });
    expect(report.skipped).toContainEqual({
      name: 'conv1.weight',
      reason: 'its inputs (1) are no multiple of 4',
    });
  });

  it.each([
    [['-g', 'chanel', '-r', '0.5'], 'Expected --granularity to be weight, channel, N:M such as 2:4'],
    [['-g', '4:2'], '2:4 keeps 2 of every 4 weights'],
    [['-g', 'channel'], 'Expected --ratio NUMBER'],
    [['-g', '2:4', '-r', '0.9'], 'Expected ratio to be 0.5 with this granularity, or left out, got 0.9'],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await secateur(['prune', model, '--dry-run', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});
