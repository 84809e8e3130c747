/**
 * The pieces of the program in the single executable: the bundle is split where the source imports on demand, so that each
 * mode and verb loads its own pieces only, together with the compiled code that the build has made of them.
 */
const { getRawAsset } = process.getBuiltinModule('node:sea');
const { Script } = process.getBuiltinModule('node:vm');

type Piece = (exports: object, require: (id: string) => unknown, module: { exports: object }) => void;

/** The first piece is the script of the executable itself, which gives its exports here for the others. */
export const loaded = new Map<string, { exports: object }>();

/** What the bundler's `require` stands for: `./<piece>.js`, or a module of the runtime. */
export function load(id: string): unknown {
  if (!id.startsWith('./')) {
    return process.getBuiltinModule(id);
  }
  const name = id.slice(2);
  const known = loaded.get(name);
  if (known !== undefined) {
    return known.exports;
  }
  const module = { exports: {} };
  loaded.set(name, module);
  const source = Buffer.from(getRawAsset(name)).toString('latin1');
  const script = new Script(source, { filename: name, cachedData: compiled(name) });
  (script.runInThisContext() as Piece)(module.exports, load, module);
  return module.exports;
}

/** `undefined` in an executable that was made on another system: the code is compiled as it is needed. */
function compiled(name: string): Buffer | undefined {
  try {
    return Buffer.from(getRawAsset(`${name}.compiled`));
  } catch {
    return undefined;
  }
}
