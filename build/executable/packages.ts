/** Packages of this project: where they lie, also those of other systems, and what they say of themselves. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { extract } from 'tar';

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

export function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** Text of the licence that lies in a package; `undefined` where there is none. */
export function licenseOf(folder: string): string | undefined {
  const name = readdirSync(folder).find((each) => /^licen[cs]e(?:\.|$)/i.test(each));
  return name === undefined ? undefined : readFileSync(join(folder, name), 'utf8');
}

interface LockRow {
  readonly version: string;
  readonly integrity?: string;
}

/**
 * A package in the version of the lock file. One for another system is not installed here; it comes through npm into
 * `cache`, and is compared with the hash of the lock file where that has one.
 * @returns its folder
 */
export async function packageFolder(name: string, root: string, cache: string): Promise<string> {
  const installed = join(root, 'node_modules', name);
  const row = lockRow(name, root);
  if (existsSync(join(installed, 'package.json')) && manifestOf(installed).version === row.version) {
    return installed;
  }
  const folder = join(cache, `${name.replaceAll('/', '-')}-${row.version}`);
  if (existsSync(folder)) {
    return folder;
  }
  const incoming = `${folder}.incoming`;
  rmSync(incoming, { recursive: true, force: true });
  mkdirSync(incoming, { recursive: true });
  const archive = join(incoming, packed(`${name}@${row.version}`, incoming));
  verify(archive, row);
  await extract({ file: archive, cwd: incoming, strip: 1, strict: true });
  rmSync(archive);
  renameSync(incoming, folder);
  return folder;
}

export function lockedVersion(name: string, root: string): string {
  return lockRow(name, root).version;
}

function lockRow(name: string, root: string): LockRow {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockRow>>;
  };
  const row = lock.packages[`node_modules/${name}`];
  if (row === undefined) {
    throw new Error(`package-lock.json has no package ${name}`);
  }
  return row;
}

/** @returns the name of the archive in `folder` */
function packed(name: string, folder: string): string {
  try {
    const command = ['pack', '--loglevel=error', '--pack-destination', folder, name];
    return execFileSync('npm', command, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    const reason = /^npm error (?!code)(.+)$/m.exec(stderr ?? '')?.[1] ?? (error as Error).message;
    throw new Error(
      `npm has no ${name} for us (${reason}); take the Node.js of that version and system from its official archive, and name the program in it: --runtime <folder of the archive>/bin/node`,
    );
  }
}

function verify(archive: string, { integrity }: LockRow): void {
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (integrity !== undefined && integrity !== found) {
    throw new Error(`${archive} has ${found}, package-lock.json wants ${integrity}`);
  }
}
