// Help that teaches, and wrong usage: one sentence on stderr, nothing on stdout, exit code 2.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { secateur } from './secateur.js';

const commands = [
  'inspect',
  'prune',
  'new',
  'bench',
  'bench select',
  'bench prune',
  'bench train',
  'doctor',
  'artifacts',
  'grad',
];

describe('help', () => {
  it.each(['', ...commands])('secateur %s --help', async (command) => {
    const { code, stdout, stderr } = await secateur([...command.split(' ').filter(Boolean), '--help'], {
      env: { COLUMNS: '80' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: secateur/);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('has examples, ranges and exit codes', async () => {
    const { stdout } = await secateur(['prune', '--help']);
    expect(stdout).toMatch(/\$ secateur prune model\.onnx -o pruned\.onnx --ratio 0\.9/);
    expect(stdout).toMatch(/--ratio <number> .*\[0, 1\)/);
    expect(stdout).toMatch(/Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted/);
  });

  it('prints the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await secateur(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('wrong usage', () => {
  it.each([
    [['prun', 'm.onnx'], "unknown command 'prun' (Did you mean prune?)"],
    [['prune', 'm.onnx', '--ratoi', '0.5'], "unknown option '--ratoi' (Did you mean --ratio?)"],
    [['prune', 'm.onnx', '-o', 'o.onnx'], 'Expected --ratio NUMBER, the fraction of the weights to remove, in [0, 1)'],
    [['prune', 'm.onnx', '--ratio', '0.5'], 'Expected -o FILE, the file to write (or --dry-run to write nothing)'],
    [['prune', 'm.onnx', '--ratio', '1'], 'Expected --ratio to be a number in [0, 1), got 1'],
    [['prune', 'm.onnx', '--ratio', '-0.1'], 'Expected --ratio to be a number in [0, 1), got -0.1'],
    [['prune', 'm.onnx', '--ratio', ''], 'Expected --ratio to be a number in [0, 1), got ""'],
    [['prune', 'm.onnx', '--ratio', '0x1'], 'Expected --ratio to be a number in [0, 1), got "0x1"'],
    [['prune', 'm.onnx', '--ratio', '90'], 'Expected --ratio to be a number in [0, 1), got 90; 90% is written 0.9'],
    [['prune', 'm.onnx', '-r', '0.5', '-r', '0.6'], 'Expected --ratio only once'],
    [
      ['prune', 'm.onnx', '-r', '0.5', '--scope', 'tensor'],
      'Expected --scope to be one of global, layer, got "tensor"',
    ],
    [['prune', 'm.onnx', '-r', '0.5', '--min-keep', '2'], 'Expected --min-keep to be a number in [0, 1], got 2'],
    [['prune', 'm.onnx', '-r', '0.5', '--threads', '0'], 'Expected --threads to be an integer from 1 to 1024, got 0'],
    [['prune', 'm.onnx', '-r', '0.5', '--device', 'gpu'], 'Expected --device to be one of auto, cpu, cuda, got "gpu"'],
    [['prune', 'a.onnx', 'b.onnx', '-r', '0.5'], "too many arguments for 'prune'. Expected 1 argument but got 2."],
    [['prune', 'm.onnx', '-r', '0.5', '-o', '-'], 'Expected -o to be the name of a file'],
    [['inspect'], "missing required argument 'model'"],
    [['bench', 'selct'], "unknown command 'selct' (Did you mean select?)"],
    [
      ['bench', 'select', '--dtype', 'f32'],
      'Expected --dtype to be one of float32, float16, bfloat16, float64 or all, got "f32"',
    ],
    [['new', 'lenet', '-o', 'l.onnx'], 'did you mean "lenet5"?'],
    [['new', 'lenet5', '-o', 'l.onnx', '--tiny'], 'one of seed, classes'],
  ])('secateur %j', async (args, sentence) => {
    const { code, stdout, stderr } = await secateur(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^secateur: [^\n]+\n$/);
    expect(stderr).toContain(sentence);
  });

  it('without a command prints the help on stderr', async () => {
    const { code, stdout, stderr } = await secateur([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: secateur/);
  });
});
