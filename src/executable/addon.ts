/**
 * The native binding of the single executable, which the build puts in the place of the package `koffi`. A system loads
 * such a binding from a file only, so it is written to one that nobody else could have changed, read back through the open
 * descriptor, compared with what the build has noted, loaded through that same descriptor and removed.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getRawAsset } from 'node:sea';
import { HostError } from '../../platform/errors.ts';

/** What the build has noted about the binding. */
declare const HOLDFAST_ADDON: {
  readonly sha256: string;
  /** The least version of glibc that it needs; `undefined` where there is no glibc. */
  readonly glibc?: string;
};

const assetName = 'addon';
const prefix = 'holdfast-addon-';
const fileName = 'koffi.node';
/** In such a folder (`/tmp`) everybody may write, but only the owner of a file renames or removes it. */
const sticky = 0o1000;
/** No start takes so long between writing the file and loading it. */
const settledMs = 60_000;

/** Why a folder cannot be used. */
class Unfit extends Error {}

interface Loaded {
  exports: unknown;
}

/** Folders to try, in this order: a system may forbid programs in some of them (`noexec`), or writing. */
function candidates(): string[] {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  const folders = [runtime, tmpdir(), '/tmp', '/dev/shm', '/var/tmp', home(), dirname(process.execPath), '.'];
  return [...new Set(folders.filter((folder) => folder !== undefined && folder !== ''))] as string[];
}

/** Node.js throws for a user without a name when `HOME` is not set. */
function home(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

function load(): unknown {
  const reasons: string[] = [];
  for (const folder of candidates()) {
    try {
      return loadFrom(folder);
    } catch (error) {
      if (error instanceof HostError) {
        throw error;
      }
      reasons.push(`${folder}: ${(error as Error).message}`);
    }
  }
  throw new HostError(
    `no folder to unpack the native binding into: ${reasons.join('; ')}`,
    'set TMPDIR to a folder of your own on a file system that allows programs to run',
  );
}

function loadFrom(folder: string): unknown {
  refuseStrangers(folder);
  const own = mkdtempSync(join(folder, prefix));
  const file = join(own, fileName);
  try {
    writeFileSync(file, new Uint8Array(getRawAsset(assetName)), { flag: 'wx', mode: 0o500 });
    const fd = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    try {
      verify(fd, file);
      const module: Loaded = { exports: {} };
      dlopen(module, reachable(fd, file));
      return module.exports;
    } finally {
      closeSync(fd);
    }
  } finally {
    remove(own);
  }
}

/** Whoever may rename what is in a folder could put another file in the place of ours. */
function refuseStrangers(folder: string): void {
  const { uid, mode } = statSync(folder);
  // Windows has neither numbers nor bits; there the folder for temporary files is the user's own.
  const user = process.geteuid?.();
  if (user === undefined) {
    return;
  }
  if (uid !== 0 && uid !== user) {
    throw new Unfit(`it belongs to user ${uid}`);
  }
  if ((mode & 0o022) !== 0 && (mode & sticky) === 0) {
    throw new Unfit('others can write to it');
  }
}

function verify(fd: number, file: string): void {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(65_536);
  for (let at = 0; ; ) {
    const length = readSync(fd, piece, 0, piece.length, at);
    if (length === 0) {
      break;
    }
    hash.update(piece.subarray(0, length));
    at += length;
  }
  const found = hash.digest('hex');
  if (found !== HOLDFAST_ADDON.sha256) {
    throw new HostError(
      `the native binding in ${process.execPath} is damaged: SHA-256 ${found} instead of ${HOLDFAST_ADDON.sha256}`,
      'copy the executable again and compare it with SHA256SUMS',
    );
  }
  const [opened, named] = [fstatSync(fd), lstatSync(file)];
  if (opened.ino !== named.ino || opened.dev !== named.dev) {
    throw new Unfit(`${file} has been replaced`);
  }
}

/** A name of the opened file itself, where the system has one. */
function reachable(fd: number, file: string): string {
  const name = `/proc/self/fd/${fd}`;
  try {
    return statSync(name).ino === fstatSync(fd).ino ? name : file;
  } catch {
    return file;
  }
}

function dlopen(module: Loaded, file: string): void {
  try {
    process.dlopen(module, file);
  } catch (error) {
    const { message } = error as Error;
    const missing = /GLIBC_2\.(\d+)/.exec(message)?.[1];
    if (missing !== undefined) {
      // The loader names the first version that it misses, and the build the newest that anything of us needs.
      const noted = HOLDFAST_ADDON.glibc?.slice('2.'.length) ?? missing;
      const needed = `2.${Math.max(Number(missing), Number(noted))}`;
      const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
      throw new HostError(
        `this program needs glibc ${needed} or newer; this host has ${header.glibcVersionRuntime ?? 'another C library'}`,
        'use a newer system, or run Holdfast from source with a Node.js that was made for this one',
      );
    }
    throw new Unfit(message.replaceAll(file, fileName));
  }
}

/** Windows keeps a loaded file, so there a later start takes away what earlier ones have left. */
function remove(own: string): void {
  if (removed(own)) {
    return;
  }
  const folder = dirname(own);
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    // A newer one may belong to a start that has not loaded it yet.
    if (
      name.startsWith(prefix) &&
      (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < Date.now() - settledMs
    ) {
      removed(path);
    }
  }
}

function removed(path: string): boolean {
  try {
    rmSync(path, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

export default load();
