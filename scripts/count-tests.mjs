// Adds up the test reports in a folder: Vitest's JSON and CTest's JUnit files. Prints "N passed, N failed" as its last
// line and fails where a test failed, or where either runner left no report or ran nothing.
// Usage: node scripts/count-tests.mjs FOLDER
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2] ?? 'build/reports';

function vitestCounts(file) {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A file that cannot be loaded has no tests in it, and fails all the same.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((each) => each.status === 'failed'),
  );
  return {
    name: 'vitest',
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function ctestCounts(file) {
  const suite = /<testsuite\b[^>]*>/.exec(readFileSync(file, 'utf8'))?.[0] ?? '';
  const count = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const skipped = count('disabled') + count('skipped');
  const failed = count('failures');
  return { name: path.basename(file, '.xml'), passed: count('tests') - failed - skipped, failed, skipped };
}

const files = existsSync(folder) ? readdirSync(folder) : [];
const native = files.filter((file) => file.endsWith('.xml'));
const counts = native.map((file) => ctestCounts(path.join(folder, file)));
if (files.includes('vitest.json')) counts.push(vitestCounts(path.join(folder, 'vitest.json')));

const ran = counts.filter(({ passed, failed }) => passed + failed > 0).length;
for (const { name, passed, failed, skipped } of counts) {
  console.log(`${name}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
const sum = (key) => counts.reduce((total, each) => total + each[key], 0);
const complete = ran === counts.length && native.length > 0 && files.includes('vitest.json');
if (!complete)
  console.log(
    `Expected reports of Vitest and CTest with tests in ${folder}, got ${counts.length} (${ran} with tests).`,
  );
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exit(complete && sum('failed') === 0 ? 0 : 1);
