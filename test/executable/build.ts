/** The single executable of this machine, made from the source as it is. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnvironment, type Environment } from '../support/holdfast.ts';

const root = join(import.meta.dirname, '../..');
export const targetName = `${process.platform}-${process.arch}`;

/** @returns its path in `folder`, where its texts and SHA256SUMS lie too */
export async function buildExecutable(folder: string, changes: Environment = {}, cwd = root): Promise<string> {
  const words = ['--disable-warning=ExperimentalWarning', join(root, 'build/executables.ts'), '--out', folder];
  await promisify(execFile)(process.execPath, words, { cwd, env: cleanEnvironment(folder, changes) });
  return join(folder, `holdfast-${targetName}`);
}

/** The same program with one byte of its native binding changed. */
export function withDamagedBinding(executable: Buffer): Buffer {
  const binding = readFileSync(
    join(root, `node_modules/@koromix/koffi-${targetName}/linux_${process.arch}/koffi.node`),
  );
  const at = executable.indexOf(binding);
  if (at < 0) {
    throw new Error('the executable does not have the native binding inside');
  }
  const damaged = Buffer.from(executable);
  damaged.writeUInt8(damaged.readUInt8(at + binding.length - 1) ^ 1, at + binding.length - 1);
  return damaged;
}
