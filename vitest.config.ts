// Tests run against the TypeScript sources and the built addon. Each file gets its own process: the addon keeps
// state in the process, and a crash must not take other files with it.
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { defineConfig, type Plugin } from 'vitest/config';

/**
 * Vite has no loader for CommonJS TypeScript (src/native/load.cts): this one compiles a .cts file as tsc does and
 * wraps it in an ES module, with the CommonJS names that Node would give it.
 */
function commonJsTypeScript(): Plugin {
  return {
    name: 'commonjs-typescript',
    enforce: 'pre',
    load(id) {
      if (!id.endsWith('.cts')) return undefined;
      const { outputText } = ts.transpileModule(readFileSync(id, 'utf8'), {
        fileName: id,
        compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true },
      });
      return `import { createRequire as $createRequire } from 'node:module';
import { dirname as $dirname } from 'node:path';
const $file = ${JSON.stringify(id)};
const $module = { exports: {} };
((exports, require, module, __filename, __dirname) => {
${outputText}
})($module.exports, $createRequire($file), $module, $file, $dirname($file));
export default $module.exports;`;
    },
  };
}

export default defineConfig({
  plugins: [commonJsTypeScript()],
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    passWithNoTests: false,
    // .ci/run adds up the counts of this report and of the native tests'.
    reporters: ['default', ['json', { outputFile: 'build/reports/vitest.json' }]],
  },
});
