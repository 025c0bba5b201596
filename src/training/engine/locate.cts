// Where the worker's program lies. CommonJS in both builds, since only CommonJS knows its own folder in both. Node cannot
// run TypeScript, so tests, which load the sources, get the worker that was built from them.
import fs = require('node:fs');
import path = require('node:path');

function workerFile(): string {
  const beside = path.join(__dirname, 'worker.js');
  return fs.existsSync(beside) ? beside : path.join(__dirname, '../../../dist/esm/src/training/engine/worker.js');
}

export = { workerFile };
