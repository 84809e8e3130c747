/**
 * A file system that folds case and Unicode forms, as macOS has it (APFS), laid over a folder of this machine: every spelling
 * has a folder of its own on the disk, and the answers about identity say that all of them are one. So the methods run with
 * their own code on real folders, and what they would have removed over there is missing here.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileNumbers, Look } from '../../platform/common/removal-guard.ts';

/** A file system in which many paths are one folder: `canonical` says which, `undefined`: there is nothing. */
export function lookThrough(
  canonical: (path: string, follow: boolean) => string | undefined,
  real: (path: string) => string = (path) => canonical(path, true) ?? path,
): Look {
  const numbers = new Map<string, bigint>();
  const numbersOf = (path: string, follow: boolean): FileNumbers | undefined => {
    const one = canonical(path, follow);
    if (one === undefined) {
      return undefined;
    }
    if (!numbers.has(one)) {
      numbers.set(one, BigInt(numbers.size + 1));
    }
    return { dev: 7n, ino: numbers.get(one) as bigint };
  };
  return {
    entry: async (path) => numbersOf(path, false),
    target: async (path) => numbersOf(path, true),
    real: async (path) => real(path),
  };
}

/** Full case folding of the letters used here, and one Unicode form: `\u017f` is an s, `\u00eb` an e with a mark. */
const fold = (text: string): string => text.normalize('NFD').toUpperCase().toLowerCase().normalize('NFD');

const caseWays: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.toUpperCase(),
  (text) => text.toLowerCase(),
  (text) => [...text].map((one) => (one === one.toUpperCase() ? one.toLowerCase() : one.toUpperCase())).join(''),
  (text) => [...text].map((one, at) => (at % 2 === 0 ? one.toUpperCase() : one.toLowerCase())).join(''),
  (text) => text.replaceAll('s', '\u017f'),
];
const formWays = ['NFC', 'NFD'] as const;
/** Ways to write the path of one folder that Linux and macOS read alike. */
const endings = ['', '/', '/.', '//', '/x/..', '/./x//../', '/x/../.'];

export interface FoldingFiles {
  readonly home: string;
  /** Of the folder. */
  readonly ofFolder: readonly string[];
  /** Of what contains the folder. */
  readonly ofParent: readonly string[];
  readonly look: Look;
  /** All folders that the spellings name, on this machine. Each holds `keep` and the folder `x`. */
  readonly folders: readonly string[];
}

/**
 * @param base absolute, without links: where the file system begins
 * @param parent name of a folder there, e.g. `Users`
 * @param name of the folder in that one whose spellings are wanted
 * @param below names of the folders from there to the home folder; none: it is the home folder
 */
export function layFoldingFiles(base: string, parent: string, name: string, ...below: readonly string[]): FoldingFiles {
  const home = join(base, parent, name, ...below);
  mkdirSync(home, { recursive: true });
  // A link that somebody has made, and the second name that macOS gives to what is on the data volume.
  symlinkSync(join(base, parent), join(base, 'people'));
  const data = 'System/Volumes/Data';
  const tails = new Set<string>();
  const parentTails = new Set<string>();
  for (const form of formWays) {
    for (const way of caseWays) {
      for (const place of [`${parent}/${name}`, `${data}/${parent}/${name}`]) {
        tails.add(way(place).normalize(form));
      }
      tails.add(`people/${way(name).normalize(form)}`);
      for (const place of [parent, `${data}/${parent}`]) {
        parentTails.add(way(place).normalize(form));
      }
    }
  }
  const spelled = (some: Iterable<string>) =>
    [...some].flatMap((tail) => endings.map((ending) => `${base}/${tail}${ending}`));
  const folders = [...tails, ...parentTails].map((tail) => join(base, tail));
  for (const folder of folders) {
    mkdirSync(join(folder, 'x'), { recursive: true });
    writeFileSync(join(folder, 'keep'), 'kept');
  }
  const known = new Map<string, string>();
  const names = [parent, name, ...below];
  for (const index of names.keys()) {
    const path = names.slice(0, index + 1).join('/');
    known.set(fold(path), join(base, path));
  }
  const canonical = (path: string, follow: boolean): string | undefined => {
    if (path !== base && !path.startsWith(`${base}/`)) {
      return base.startsWith(path) ? path : undefined;
    }
    let tail = fold(path.slice(base.length + 1)).replace(/^system\/volumes\/data\//, '');
    if (tail === 'people' && !follow) {
      return 'the link';
    }
    tail = tail.replace(/^people(?=\/|$)/, fold(parent));
    return tail === '' ? base : known.get(tail);
  };
  return {
    home,
    ofFolder: spelled(tails),
    ofParent: spelled(parentTails),
    look: lookThrough(canonical, (path) => canonical(path, true) ?? path),
    folders,
  };
}
