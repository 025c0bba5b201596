// PyTorch as a peer of training: one Python process that takes a round of steps whenever it is told to, so that its
// rounds and ours can alternate on a machine whose speed drifts.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Head } from '../../../models/yolov4/heads.js';
import { SecateurError } from '../../errors.js';
import { packageInfo } from '../package-info.js';
import { pythonWith, threadLimits } from './peers.js';

/** What the loss of a batch needs, as torch_yolo.py reads it. */
export interface DetectionWork {
  readonly size: number;
  readonly classes: number;
  readonly heads: readonly Head[];
  /** Left, top, width and height: as many boxes of every picture. */
  readonly truths: readonly number[];
  /** image * predictions + prediction; its box and class. */
  readonly positives: readonly number[];
  readonly boxes: readonly number[];
  readonly categories: readonly number[];
}

export interface TorchWork {
  model: string;
  batch: number;
  threads: number;
  learningRate: number;
  /** Of detectors. */
  detection?: DetectionWork;
}

/** A running PyTorch; it waits without using a processor between rounds. */
export class TorchTrainer {
  readonly version: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams, answers: AsyncIterator<string>, version: string) {
    this.#child = child;
    this.#answers = answers;
    this.version = version;
  }

  /** @returns undefined where no python3 on PATH has torch. */
  static async start(work: TorchWork, signal: AbortSignal): Promise<TorchTrainer | undefined> {
    const python = await pythonWith('torch', signal);
    if (python === undefined) return undefined;
    const script = path.join(packageInfo().root, 'bench/peers/torch_train.py');
    const env = { ...process.env, ...threadLimits(work.threads) };
    const child = spawn(python, ['-B', script], { env, signal, killSignal: 'SIGKILL' });
    child.on('error', () => undefined); // Told by the answers' end.
    child.stdin.on('error', () => undefined);
    child.stdin.write(`${JSON.stringify(work)}\n`);
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const trainer = new TorchTrainer(child, answers, '');
    const { version } = await trainer.#answer<{ version: string }>();
    return new TorchTrainer(child, answers, version);
  }

  /** Takes some steps; milliseconds of each. */
  async steps(count: number): Promise<readonly number[]> {
    this.#child.stdin.write(`${count}\n`);
    return (await this.#answer<{ ms: number[] }>()).ms;
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  async #answer<Answer>(): Promise<Answer> {
    const { value, done } = await this.#answers.next();
    if (done !== true) return JSON.parse(value) as Answer;
    const said =
      String(this.#child.stderr.read() ?? '')
        .trim()
        .split('\n')
        .at(-1) || 'nothing on stderr';
    throw new SecateurError('IO', `Expected torch_train.py to answer, but it ended: ${said}`);
  }
}
