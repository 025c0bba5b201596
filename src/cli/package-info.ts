// Where this package lies and which version it is. The compiled program lies some folders below package.json, and how
// many depends on the build, so the walk goes upwards until it finds the package by name.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SecateurError } from '../errors.js';

export interface PackageInfo {
  /** The folder of package.json. */
  root: string;
  version: string;
}

/** @throws SecateurError INTERNAL when the program was moved out of its package. */
export function packageInfo(): PackageInfo {
  const start = path.dirname(fileURLToPath(import.meta.url));
  for (let folder = start; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const found = readPackage(path.join(folder, 'package.json'));
    if (found?.name === 'secateur') return { root: folder, version: found.version ?? 'unknown' };
  }
  throw new SecateurError('INTERNAL', `Expected a package.json named secateur above ${start}`, { path: start });
}

/** Name and version of a package.json, or undefined where there is none to read. */
export function readPackage(file: string): { name?: string; version?: string } | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const { name, version } = parsed as { name?: unknown; version?: unknown };
    return {
      ...(typeof name === 'string' ? { name } : {}),
      ...(typeof version === 'string' ? { version } : {}),
    };
  } catch {
    return undefined;
  }
}
