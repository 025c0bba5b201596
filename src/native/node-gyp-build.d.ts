// The package has no types of its own.
declare module 'node-gyp-build' {
  /** Finds the addon below a package's folder, prebuilds first, and requires it. */
  function load(folder: string): unknown;
  namespace load {
    /** The path that would be required. Throws when there is none. */
    function resolve(folder: string): string;
  }
  export = load;
}
