/** Single executables, made from the source as it is. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnvironment, type Environment } from '../support/holdfast.ts';
import { keptBuild } from '../support/kept-build.ts';
import { settingsOfNpm } from '../support/npm.ts';
import { waitUntil } from '../support/wait.ts';

const root = join(import.meta.dirname, '../..');
export const targetName = `${process.platform}-${process.arch}`;
export const executableName = `holdfast-${targetName}`;

/** A build writes and reads some 400 MB; on a machine that does much else that takes its time. */
export const buildMs = 300_000;

/** @returns its path in `folder`, where its texts and SHA256SUMS lie too; @param more words for the build */
export async function buildExecutable(
  folder: string,
  { changes = {}, cwd = root, target = targetName, more = [] }: Partial<BuildOptions> = {},
): Promise<string> {
  const words = [join(root, 'build/executables.ts'), '--out', folder, '--target', target, ...more];
  await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', ...words], {
    cwd,
    env: cleanEnvironment(folder, { ...settingsOfNpm(), ...changes }),
  });
  return join(folder, `holdfast-${target}`);
}

interface BuildOptions {
  readonly changes: Environment;
  readonly cwd: string;
  readonly target: string;
  readonly more: readonly string[];
}

/**
 * A build that all test files share and none may change: the one `.ci/run` makes beside the tests (`HOLDFAST_TEST_BUILD`, a
 * folder, which has a file `.being-made` until then), or else one that is kept as long as the source is the same.
 * @returns its folder
 */
export async function sharedBuild(target = targetName): Promise<string> {
  const given = process.env.HOLDFAST_TEST_BUILD;
  if (given !== undefined && given !== '') {
    const isMade = () => !existsSync(join(given, '.being-made'));
    await waitUntil(isMade, `the executables in ${given}`, { timeoutMs: buildMs - 30_000 });
    return given;
  }
  return keptBuild({
    name: `holdfast-${target}-for-tests`,
    sources: ['{src,platform,native-bindings,build}/**/*.*'],
    make: async (folder) => {
      await buildExecutable(folder, { target });
    },
  });
}

/** Its native binding, and where it lies in it. */
function bindingOf(executable: Buffer): { readonly binding: Buffer; readonly at: number } {
  const binding = readFileSync(
    join(root, `node_modules/@koromix/koffi-${targetName}/linux_${process.arch}/koffi.node`),
  );
  const at = executable.indexOf(binding);
  if (at < 0) {
    throw new Error('the executable does not have the native binding inside');
  }
  return { binding, at };
}

/** The same program whose native binding wants a glibc that no system has; the build would have noted its hash. */
export function withNewerGlibc(executable: Buffer): Buffer {
  const { binding, at } = bindingOf(executable);
  const versions = [...binding.toString('latin1').matchAll(/\0GLIBC_(2\.\d\d)(?=\0)/g)];
  const newest = versions.sort(([, a = ''], [, b = '']) => Number(a.slice(2)) - Number(b.slice(2))).at(-1);
  if (newest === undefined) {
    throw new Error('the native binding names no version of glibc');
  }
  const other = Buffer.from(binding);
  other.write('2.99', newest.index + '\0GLIBC_'.length, 'latin1');
  const changed = Buffer.from(executable);
  other.copy(changed, at);
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  replaceAll(changed, sha256(binding), sha256(other));
  return changed;
}

function replaceAll(bytes: Buffer, from: string, to: string): void {
  for (let found = bytes.indexOf(from, 0, 'latin1'); found >= 0; found = bytes.indexOf(from, found + 1, 'latin1')) {
    bytes.write(to, found, 'latin1');
  }
}

/** The same program with one byte of its native binding changed. */
export function withDamagedBinding(executable: Buffer): Buffer {
  const { binding, at } = bindingOf(executable);
  const damaged = Buffer.from(executable);
  damaged.writeUInt8(damaged.readUInt8(at + binding.length - 1) ^ 1, at + binding.length - 1);
  return damaged;
}
