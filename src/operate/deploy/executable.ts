/** A single executable as a file: for which system it is, its hash, and the glibc it needs. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { HoldfastError } from '../../client/index.ts';
import { leastGlibc } from './least-glibc.ts';

/** The systems that `npm run build` makes executables for; build/executable/targets.ts says how. */
export const targetNames = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win-x64'] as const;
export type TargetName = (typeof targetNames)[number];

export interface Executable {
  readonly path: string;
  readonly target: TargetName;
  readonly bytes: Buffer;
  /** SHA-256, hexadecimal. */
  readonly sha256: string;
  /** Least version of glibc, for example `2.28`; `undefined` for systems without it. */
  readonly glibc: string | undefined;
}

/** @throws HoldfastError for a file that cannot be read, or is no program of one of the targets */
export async function readExecutable(path: string): Promise<Executable> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new HoldfastError('unsupported', `${path} cannot be read: ${code}`, { cause });
  }
  const target = targetOf(bytes);
  if (target === undefined) {
    throw new HoldfastError(
      'unsupported',
      `${path} is no program of ${targetNames.join(', ')}; npm run build makes them, and SHA256SUMS beside it tells whether it is whole`,
    );
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { path, target, bytes, sha256, glibc: target.startsWith('linux-') ? leastGlibc(bytes) : undefined };
}

/** By the number of the processor in the head of the file: ELF, Mach-O, PE. */
function targetOf(bytes: Buffer): TargetName | undefined {
  if (bytes.length < 1024) {
    return undefined;
  }
  if (bytes.toString('latin1', 0, 5) === '\x7fELF\x02') {
    return ({ 62: 'linux-x64', 183: 'linux-arm64' } as const)[bytes.readUInt16LE(18)];
  }
  if (bytes.readUInt32LE(0) === 0xfeedfacf) {
    return bytes.readUInt32LE(4) === 0x0100000c ? 'darwin-arm64' : undefined;
  }
  const head = bytes.toString('latin1', 0, 2) === 'MZ' ? bytes.readUInt32LE(0x3c) : bytes.length;
  const isPe = head + 6 <= bytes.length && bytes.toString('latin1', head, head + 4) === 'PE\0\0';
  return isPe && bytes.readUInt16LE(head + 4) === 0x8664 ? 'win-x64' : undefined;
}

/** A size for people: `132.6 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
