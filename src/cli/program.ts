// The command line as a whole: the commands, what they share, and how commander reports wrong usage. What a command
// does is in commands/, one file each.
import { Command } from 'commander';
import { addArtifacts } from './commands/artifacts.js';
import { addBench } from './commands/bench.js';
import { addCompact } from './commands/compact.js';
import { addDetect } from './commands/detect.js';
import { addDoctor } from './commands/doctor.js';
import { addEval } from './commands/eval.js';
import { addGrad } from './commands/grad.js';
import { addImport } from './commands/import.js';
import { addInspect } from './commands/inspect.js';
import { addNew } from './commands/new.js';
import { addPack } from './commands/pack.js';
import { addPrune } from './commands/prune.js';
import { addRetrain } from './commands/retrain.js';
import { addSweep } from './commands/sweep.js';
import { addTrain } from './commands/train.js';
import { addUnpack } from './commands/unpack.js';
import { packageInfo } from './package-info.js';
import type { Runner } from './run.js';
import { complain } from './terminal.js';

const ABOUT = 'Prunes ONNX checkpoints by one global removal ratio, at memory speed.';

const EPILOGUE = `
Examples:
  $ secateur inspect model.onnx
  $ secateur prune model.onnx -o pruned.onnx --ratio 0.9
  $ secateur pack pruned.onnx -o small.onnx
  $ secateur new lenet5 -o lenet5.onnx
  $ secateur train lenet5.onnx --data digits -o trained.onnx
  $ secateur retrain trained.onnx --data digits --ratio 0.988 -o pruned.onnx

Exit codes:
  0    done
  1    failed: bad model, full disk, ... (one sentence on stderr)
  2    wrong usage: unknown option, value outside its range
  130  interrupted (Ctrl-C); files are as they were before

Environment:
  SECATEUR_FORCE_BACKEND  portable, avx2, avx512 or neon (default: best here)
  SECATEUR_DEBUG=1        print the stack of an error
  NO_COLOR, COLUMNS       plain text; width of tables`;

export function createProgram(run: Runner): Command {
  const program = new Command('secateur')
    .description(ABOUT)
    .version(packageInfo().version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help; "secateur prune --help" for one command')
    .helpCommand(false)
    .addHelpText('after', EPILOGUE);
  // Commands copy these settings when they are made, so they come first.
  program.exitOverride().configureOutput({
    outputError: (text) => complain(oneLine(text)),
  });
  addInspect(program, run);
  addPrune(program, run);
  addCompact(program, run);
  addPack(program, run);
  addUnpack(program, run);
  addTrain(program, run);
  addRetrain(program, run);
  addSweep(program, run);
  addEval(program, run);
  addDetect(program, run);
  addNew(program, run);
  addImport(program, run);
  addArtifacts(program, run);
  addGrad(program, run);
  addBench(program, run);
  addDoctor(program, run);
  return program;
}

/** Commander writes `error: ...` and its suggestion on a second line; we print one sentence. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
}
