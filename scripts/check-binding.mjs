// Compares the TypeScript signatures in the comments of binding/ with the contract in src/native/: every method must
// be exported, and exported as the contract says.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const squeeze = (text) =>
  text
    .replace(/\s+/g, ' ')
    .replace(/,\s*\)/g, ')')
    .replace(/\(\s/g, '(')
    .trim();

/** The interfaces that together are the addon's. */
const PARTS = [
  ['src/native/contract.ts', /export interface NativeAddon extends [\w, ]+ \{([\s\S]*?)\n\}/],
  ['src/native/device-contract.ts', /export interface NativeDevices \{([\s\S]*?)\n\}/],
  ['src/native/packing-contract.ts', /export interface NativePacking \{([\s\S]*?)\n\}/],
  ['src/native/training-contract.ts', /export interface NativeTraining \{([\s\S]*?)\n\}/],
];

/** Their methods, name to signature. */
function contractSignatures() {
  const bodies = PARTS.map(([file, pattern]) => pattern.exec(readFileSync(path.join(root, file), 'utf8'))?.[1]);
  if (bodies.includes(undefined)) return new Map();
  const body = bodies.join('\n');
  const methods = body.replace(/\/\*\*[\s\S]*?\*\//g, '').split(/;\s*\n|;$/);
  return new Map(
    methods
      .map(squeeze)
      .filter(Boolean)
      .map((method) => [method.slice(0, method.indexOf('(')), method]),
  );
}

const sources = readdirSync(path.join(root, 'binding')).filter((name) => /\.(cc|h)$/.test(name));
const binding = sources.map((name) => readFileSync(path.join(root, 'binding', name), 'utf8')).join('\n');
const exported = new Set([...binding.matchAll(/\badd\("(\w+)"/g)].map(([, name]) => name));
const comments = squeeze(binding.replace(/\n\/\/ ?/g, ' '));

const contract = contractSignatures();
const problems = [];
for (const [name, signature] of contract) {
  if (!exported.has(name)) problems.push(`${name} is in the contract but not exported by binding/`);
  if (!comments.includes(signature)) problems.push(`no comment in binding/ says "${signature}"`);
}
for (const name of exported) {
  if (!contract.has(name)) problems.push(`${name} is exported by binding/ but not in the contract`);
}
if (contract.size === 0) problems.push('found not all interfaces of the contract in src/native/');
for (const problem of problems) console.error(`check-binding: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
