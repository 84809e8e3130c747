/** A root file system with nothing in it but an executable, the libraries it names, and a null device. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** @param programs by the paths they get in there; both on the same file system as `root` where they are large */
export function makeEmptyRoot(root: string, programs: Readonly<Record<string, string>>): void {
  for (const folder of ['bin', 'dev', 'root', 'tmp']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  execFileSync('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
  for (const [path, program] of Object.entries(programs)) {
    try {
      linkSync(program, join(root, path));
    } catch {
      copyFileSync(program, join(root, path));
    }
    for (const library of librariesOf(program)) {
      mkdirSync(dirname(join(root, library)), { recursive: true });
      copyFileSync(library, join(root, library));
    }
  }
}

function librariesOf(program: string): string[] {
  try {
    const listed = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [...listed.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map(([, library = '']) => library);
  } catch {
    // It is linked statically.
    return [];
  }
}
