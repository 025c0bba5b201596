// The floors of the C++ code, which dependency-cruiser cannot see: native/ knows neither Node nor the binding, and in
// binding/ only the set-up header includes napi.h.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { listFiles, root } from './files.mjs';

const INCLUDE = /^\s*#\s*include\s*[<"]([^>"]+)[>"]/;

const RULES = [
  {
    floor: 'native/',
    forbidden: /^(napi.*|node_api.*|js_native_api.*|node(_[a-z_]+)?|uv|v8.*)\.h$|(^|\/)binding\//,
    reason: 'the library is used and tested without Node',
  },
  {
    floor: 'binding/',
    except: 'binding/napi_setup.h',
    forbidden: /^(napi|node_api|js_native_api)\.h$/,
    reason: 'binding/napi_setup.h sets the macros that must come before it',
  },
  {
    floor: 'native/include/',
    forbidden: /^(core|cpu|cuda|test|bench)\//,
    reason: 'contracts do not know their implementations',
  },
];

let failures = 0;
for (const file of listFiles(['native', 'binding'], /\.(cc|h|cu|cuh)$/)) {
  const lines = readFileSync(path.join(root, file), 'utf8').split('\n');
  for (const { floor, except, forbidden, reason } of RULES) {
    if (!file.startsWith(floor) || file === except) continue;
    lines.forEach((line, index) => {
      const included = INCLUDE.exec(line)?.[1];
      if (included === undefined || !forbidden.test(included)) return;
      console.error(`${file}:${index + 1}: ${floor} must not include ${included}: ${reason}.`);
      failures += 1;
    });
  }
}
process.exit(failures > 0 ? 1 : 0);
