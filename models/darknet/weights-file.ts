// Darknet's .weights: a header, then the float32 numbers of each convolution in the order of the cfg. The file is read
// once into one array; what is handed out are views of it.
import { SecateurError } from '../../src/errors.js';
import { FileSource } from '../../src/onnx/file-source.js';

const VERSION_BYTES = 12;

/** Numbers of one convolution. */
export interface ConvolutionParameters {
  /** [filters, channels / groups, size, size] */
  weight: Float32Array;
  /** The convolution's, or with BatchNormalization its beta. */
  bias: Float32Array;
  /** BatchNormalization's gamma and running statistics; undefined without. */
  norm: { scale: Float32Array; mean: Float32Array; variance: Float32Array } | undefined;
}

/** The numbers of a weights file, taken one convolution after the other. */
export class WeightsFile {
  readonly path: string;
  /** Version of the format, `major.minor.revision`. */
  readonly version: string;
  /** How many pictures the network was trained with. */
  readonly seen: number;
  readonly #numbers: Float32Array;
  #position = 0;

  /** @throws SecateurError IO; INVALID_MODEL where it has no header of Darknet or ends inside a number. */
  constructor(path: string) {
    this.path = path;
    const source = new FileSource(path);
    try {
      const header = readHeader(source);
      this.version = header.version;
      this.seen = header.seen;
      const count = (source.size - header.bytes) / Float32Array.BYTES_PER_ELEMENT;
      if (!Number.isInteger(count)) {
        throw this.#invalid(
          `Expected ${path} to have whole float32 numbers after its header, got ${source.size} bytes`,
        );
      }
      this.#numbers = new Float32Array(count);
      source.readInto(new Uint8Array(this.#numbers.buffer), header.bytes);
    } finally {
      source.close();
    }
  }

  /**
   * The next convolution's numbers: biases, scales, means and variances, then weights.
   *
   * @param where names the layer in errors.
   * @throws SecateurError INVALID_MODEL where the file ends too early, or has numbers that cannot be.
   */
  convolution(shape: { filters: number; weights: number; normalized: boolean }, where: string): ConvolutionParameters {
    const { filters, weights, normalized } = shape;
    const needed = weights + filters * (normalized ? 4 : 1);
    const rest = this.#numbers.length - this.#position;
    if (rest < needed) {
      throw this.#invalid(
        `Expected ${this.path} to have the weights of all layers, but it ends in ${where}: ${rest} of ${needed} numbers`,
      );
    }
    const bias = this.#take(filters);
    const norm = normalized
      ? { scale: this.#take(filters), mean: this.#take(filters), variance: this.#take(filters) }
      : undefined;
    const parameters = { bias, norm, weight: this.#take(weights) };
    this.#check(parameters, where);
    return parameters;
  }

  /** @throws SecateurError INVALID_MODEL where numbers are left. */
  end(): void {
    const rest = this.#numbers.length - this.#position;
    if (rest === 0) return;
    throw this.#invalid(
      `Expected ${this.path} to end after the last layer, but ${rest} numbers are left; is it of another cfg, or of ` +
        'another number of classes?',
    );
  }

  #take(length: number): Float32Array {
    this.#position += length;
    return this.#numbers.subarray(this.#position - length, this.#position);
  }

  // A file of another network has random numbers where variances should be.
  #check({ weight, bias, norm }: ConvolutionParameters, where: string): void {
    const wrong = norm?.variance.find((value) => !(value >= 0));
    if (wrong !== undefined) {
      throw this.#invalid(
        `Expected variances of 0 or more in ${where} of ${this.path}, got ${wrong}; is it of this cfg?`,
      );
    }
    for (const values of [weight, bias, ...Object.values(norm ?? {})]) {
      if (values.every(Number.isFinite)) continue;
      throw this.#invalid(
        `Expected finite numbers in ${where} of ${this.path}, got NaN or infinity; is it of this cfg?`,
      );
    }
  }

  #invalid(message: string): SecateurError {
    return new SecateurError('INVALID_MODEL', message, { path: this.path });
  }
}

// major, minor and revision as int32, then the number of pictures seen: int64 since version 0.2, int32 before.
function readHeader(source: FileSource): { version: string; seen: number; bytes: number } {
  const header = new Uint8Array(VERSION_BYTES + 8);
  source.readInto(header.subarray(0, Math.min(header.length, source.size)), 0);
  const view = new DataView(header.buffer);
  const [major = 0, minor = 0, revision = 0] = [0, 4, 8].map((offset) => view.getInt32(offset, true));
  const wide = major * 10 + minor >= 2;
  const bytes = VERSION_BYTES + (wide ? 8 : 4);
  const plausible = [major, minor, revision].every((number) => number >= 0 && number <= 1000);
  if (source.size < bytes || !plausible) {
    throw new SecateurError(
      'INVALID_MODEL',
      `Expected ${source.path} to begin with the header of a Darknet weights file, got ` +
        (source.size < bytes ? `${source.size} bytes` : `version ${major}.${minor}.${revision}`),
      { path: source.path },
    );
  }
  const seen = wide ? Number(view.getBigUint64(VERSION_BYTES, true)) : view.getUint32(VERSION_BYTES, true);
  return { version: `${major}.${minor}.${revision}`, seen, bytes };
}
