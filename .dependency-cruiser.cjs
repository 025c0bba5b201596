// The floors of the building (docs/contributing.md): imports point down only. Each floor lists what it may see of our
// own code; packages have their own rules below. Type imports count too.

/** A floor's own files -> the floors below it that it may import, or paths of single files. */
const floors = {
  '^src/(?!index\\.ts)[^/]+\\.ts$': [],
  '^src/native/': [],
  '^src/onnx/': ['native'],
  '^src/runtime/': ['onnx', 'native'],
  '^src/autodiff/': ['onnx', 'native'],
  '^src/data/': [],
  '^src/metrics/': ['data'],
  '^src/prune/': ['onnx', 'native'],
  '^src/pack/': ['prune', 'runtime', 'onnx', 'native'],
  '^src/compact/': ['prune', 'runtime', 'onnx', 'native'],
  '^src/training/': ['prune', 'autodiff', 'runtime', 'onnx', 'native', 'data', 'metrics'],
  // The anchors of the published networks are facts that the builders write and the detector reads.
  '^src/detection/': [
    ...['training', 'prune', 'autodiff', 'runtime', 'onnx', 'native', 'data', 'metrics'],
    '^models/yolov4/heads\\.ts$',
  ],
  '^src/sweep/': ['training', 'prune', 'onnx', 'native'],
};

/** Files such as src/errors.ts, which every floor may import. */
const common = '^src/(?!index\\.ts)[^/]+\\.ts$';

const floorRules = Object.entries(floors).map(([own, below]) => ({
  name: `floor ${own}`,
  comment: `May import of our code: itself, ${['common files', ...below].join(', ')}. Imports point down only.`,
  severity: 'error',
  from: { path: own },
  to: {
    path: '^(src|models|test|bench|scripts)/',
    pathNot: [own, common, ...below.map((name) => (name.startsWith('^') ? name : `^src/${name}/`))],
  },
}));

module.exports = {
  forbidden: [
    ...floorRules,
    {
      name: 'floor index',
      comment: 'The public surface sees everything below it, but neither the command line nor the models.',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: '^(src/cli|models|test|bench|scripts)/' },
    },
    {
      name: 'floor cli',
      comment: 'The command line sees the library and the model builders.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^(test|bench|scripts)/' },
    },
    {
      name: 'floor models',
      comment: 'Model builders see the graph helpers and the addon, not pruning or training.',
      severity: 'error',
      from: { path: '^models/' },
      to: { path: '^(src|test|bench|scripts)/', pathNot: ['^src/(onnx|native)/', '^src/(errors|spelling)\\.ts$'] },
    },
    {
      name: 'one loader of the addon',
      comment: 'Only src/native/load.cts looks for or names the compiled addon.',
      severity: 'error',
      from: { path: '^(src|models)/', pathNot: '^src/native/load\\.cts$' },
      to: { path: ['node-gyp-build', '\\.node$'] },
    },
    {
      name: 'one user of the runtime',
      comment: 'onnxruntime-node is optional: only src/runtime/session.ts may import it.',
      severity: 'error',
      from: { path: '^(src|models)/', pathNot: '^src/runtime/session\\.ts$' },
      to: { path: '(^|/)onnxruntime-(node|common)(/|$)' },
    },
    {
      name: 'no cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'everything resolves',
      severity: 'error',
      from: { path: '^(src|models)/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'declared packages only',
      comment: 'Users do not get devDependencies.',
      severity: 'error',
      from: { path: '^(src|models)/', pathNot: '^src/runtime/session\\.ts$' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only', 'npm-peer'],
        pathNot: '/node_modules/@types/',
      },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: '(^|/)node_modules/|^build/' },
    exclude: { path: '^dist/' },
    moduleSystems: ['cjs', 'es6'],
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.cts', '.mts', '.js', '.cjs', '.mjs', '.json', '.node'],
    },
  },
};
