// The package has no types of its own.
declare module 'node-gyp-build' {
  const load: {
    /** Finds the addon below a package's folder, built from source or prebuilt, and requires it. */
    (folder: string): unknown;
    /** The path that would be required. Throws when there is none. */
    resolve(folder: string): string;
  };
  export = load;
}
