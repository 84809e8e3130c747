/** Packages of this project: where they lie, also those of other systems, and what they say of themselves. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
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
 * A package in the version of the lock file of `project`. One for another system is not installed here; it comes through npm
 * into `cache`, and is compared with the hash of the lock file.
 * @param remedy what to do where npm does not have it
 * @returns its folder
 */
export async function packageFolder(
  name: string,
  project: string,
  cache: string,
  remedy = 'look at the settings of npm',
): Promise<string> {
  const installed = join(project, 'node_modules', name);
  const row = lockRow(name, project);
  if (existsSync(join(installed, 'package.json')) && manifestOf(installed).version === row.version) {
    return installed;
  }
  const folder = join(cache, `${name.replaceAll('/', '-')}-${row.version}`);
  if (existsSync(folder)) {
    return folder;
  }
  mkdirSync(cache, { recursive: true });
  const incoming = mkdtempSync(`${folder}.incoming-`);
  try {
    const archive = join(incoming, packed(`${name}@${row.version}`, incoming, remedy));
    verify(archive, row);
    const content = join(incoming, 'content');
    mkdirSync(content);
    await extract({ file: archive, cwd: content, strip: 1, strict: true });
    renameSync(content, folder);
  } catch (error) {
    // Another build may have brought the same package meanwhile.
    if (!existsSync(folder)) {
      throw error;
    }
  } finally {
    rmSync(incoming, { recursive: true, force: true });
  }
  return folder;
}

export function lockedVersion(name: string, project: string): string {
  return lockRow(name, project).version;
}

function lockRow(name: string, project: string): LockRow {
  const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockRow>>;
  };
  const row = lock.packages[`node_modules/${name}`];
  if (row === undefined) {
    throw new Error(`${join(project, 'package-lock.json')} has no package ${name}`);
  }
  return row;
}

/** @returns the name of the archive in `folder` */
function packed(name: string, folder: string, remedy: string): string {
  try {
    const command = ['pack', '--loglevel=error', '--pack-destination', folder, name];
    return execFileSync('npm', command, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    const reason = /^npm error (?!code)(.+)$/m.exec(stderr ?? '')?.[1] ?? (error as Error).message;
    throw new Error(`npm has no ${name} for us (${reason}); ${remedy}`);
  }
}

function verify(archive: string, { integrity = 'a row with a hash' }: LockRow): void {
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (integrity !== found) {
    throw new Error(`${archive} has ${found}, package-lock.json wants ${integrity}`);
  }
}
