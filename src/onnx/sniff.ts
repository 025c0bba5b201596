// Says what a file is when it is not ONNX, so that the error can tell the user what to do. Never decides that a file
// is not ONNX: it is asked only after reading it as ONNX has failed.

import { type ByteSource, WindowedReader } from './wire.js';

const HEAD_BYTES = 512;

/** Bytes at the beginning of well-known formats. The offset is where they stand. */
const signatures: readonly { offset: number; text: string; name: string }[] = [
  { offset: 0, text: '\x89PNG', name: 'a PNG image' },
  { offset: 0, text: '\xff\xd8\xff', name: 'a JPEG image' },
  { offset: 0, text: 'PK\x03\x04', name: 'a ZIP archive, perhaps a PyTorch checkpoint: export it to ONNX first' },
  { offset: 0, text: '\x1f\x8b', name: 'a gzip file: unpack it first' },
  { offset: 0, text: '\x28\xb5\x2f\xfd', name: 'a zstd file: unpack it first' },
  { offset: 0, text: '\x89HDF', name: 'an HDF5 file, perhaps of Keras: export it to ONNX first' },
  { offset: 0, text: 'GGUF', name: 'a GGUF file' },
  { offset: 4, text: 'TFL3', name: 'a TensorFlow Lite model' },
  { offset: 4, text: 'ORTM', name: 'a model in the ORT format: take the .onnx file that it was made from' },
  { offset: 0, text: '%PDF', name: 'a PDF document' },
  { offset: 0, text: '\x7fELF', name: 'an executable' },
  { offset: 0, text: 'version https://git-lfs', name: 'a Git LFS pointer: fetch the file itself with `git lfs pull`' },
];

/** "it is ..." for a file in a known format that is not ONNX; undefined where we don't know. */
export function describeOtherFormat(source: ByteSource): string | undefined {
  const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
  new WindowedReader(source).copyTo(head, 0);
  const text = Buffer.from(head.buffer).toString('latin1');
  const known = signatures.find(({ offset, text: signature }) => text.startsWith(signature, offset));
  if (known !== undefined) return `it is ${known.name}`;
  if (isSafetensors(head, source.size)) return 'it is a safetensors file: export the model to ONNX first';
  return head.every(isTextByte) ? 'it is a text file' : undefined;
}

/** Eight bytes of header length, then a JSON object. */
function isSafetensors(head: Uint8Array, size: number): boolean {
  if (head.byteLength < 10 || head[8] !== 0x7b) return false;
  return new DataView(head.buffer).getBigUint64(0, true) < BigInt(size);
}

function isTextByte(byte: number): boolean {
  return (byte >= 0x20 && byte !== 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}
