// Tests run against the TypeScript sources and the built addon. Each file gets its own process: the addon keeps
// state in the process, and a crash must not take other files with it.
import { defineConfig } from 'vitest/config';

export default defineConfig({
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
