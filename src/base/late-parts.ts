/** Node's own modules, of which an idle process needs less than an `import` loads. */

/**
 * An `import` reads every name a module of Node.js gives, and with them `node:fs` loads its promises, its streams and line
 * editing: half a megabyte that an idle daemon has no use for (docs/performance.md "Memory"). Here those names are moved from
 * the module to its prototype. There `fs.promises` still answers, and loads what it is made of when it is asked;
 * `import { promises } from 'node:fs'` does not.
 */
export function loadFileSystemPartsLate(): void {
  const fs = process.getBuiltinModule('node:fs');
  const late = Object.create(Object.getPrototypeOf(fs));
  for (const [name, { get, ...rest }] of Object.entries(Object.getOwnPropertyDescriptors(fs))) {
    if (get !== undefined && rest.configurable) {
      Object.defineProperty(late, name, { get, ...rest });
      Reflect.deleteProperty(fs, name);
    }
  }
  Object.setPrototypeOf(fs, late);
}
