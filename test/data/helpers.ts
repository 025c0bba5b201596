// What the tests of data share: temporary folders, the bytes of small files, and errors as one line.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { isSecateurError } from '../../src/errors.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-test-'));
  folders.push(folder);
  return folder;
}

/** An IDX file of bytes. */
export function idx(dims: readonly number[], data: Iterable<number>, type = 8): Uint8Array {
  const header = new Uint8Array(4 + 4 * dims.length);
  header.set([0, 0, type, dims.length]);
  for (const [axis, size] of dims.entries()) new DataView(header.buffer).setUint32(4 + 4 * axis, size);
  return Uint8Array.from([...header, ...data]);
}

/** A `.npy` file of version 1. */
export function npy(descriptor: string, shape: string, data: ArrayBufferView, order = 'False'): Uint8Array {
  const text = `{'descr': ${descriptor}, 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const header = `${text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11)}\n`;
  const length = new Uint8Array(Uint16Array.of(header.length).buffer);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(header), bytes]);
}

/** `CODE: sentence` of the SecateurError, `ok` where there is none. Other errors are thrown on. */
export async function failure(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    if (isSecateurError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}
