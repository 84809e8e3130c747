/** Calling `files.*` and `plugins.*` as the dispatcher does: raw params in, the frame's text out. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import { atOnce } from '../../platform/steps.ts';
import { errorAnswer } from '../../src/doors/rpc/failures.ts';
import { filesMethods } from '../../src/doors/rpc/methods/files.ts';
import { Answer, type Client, type Method, type MethodResult } from '../../src/doors/rpc/methods/method.ts';
import type { FilesServices } from '../../src/files/services.ts';
import { JsonText, type ResultObject } from '../../src/wire/json.ts';
import { encodeResult } from '../../src/wire/json-writer.ts';
import type { ProfileName } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';

export const platform = await loadPlatform();

export interface CallOptions {
  readonly profile?: ProfileName;
  readonly maxExtractBytes?: number;
  readonly regularOnly?: boolean;
}

export function services({ profile = 'S', maxExtractBytes = 0, regularOnly = false }: CallOptions = {}): FilesServices {
  const found = profileNamed(profile);
  if (found === undefined) {
    throw new Error(`no profile ${profile}`);
  }
  return { platform, profile: found, settings: { maxExtractBytes, filesReadRegularOnly: regularOnly } };
}

/**
 * @param params an object, or the text of the params as they are sent; `undefined`: the request has none
 * @returns the result's text, or `<code> <message>`
 */
export async function call(
  method: string,
  params: object | string | undefined,
  options?: CallOptions,
): Promise<string> {
  return callMethod(filesMethods, method, params, services(options));
}

export async function callMethod<S>(
  methods: readonly Method<S>[],
  name: string,
  params: object | string | undefined,
  services: S,
): Promise<string> {
  const method = methods.find((candidate) => candidate.name === name);
  if (method === undefined) {
    throw new Error(`no method ${name}`);
  }
  const text = typeof params === 'string' || params === undefined ? params : JSON.stringify(params);
  const bytes = Buffer.from(text ?? '');
  const slice = text === undefined ? undefined : { bytes, start: 0, end: bytes.length };
  try {
    const read = method.read(slice, services);
    const start = typeof read === 'function' ? read : atOnce(read);
    return textOf(await start({ services, client: clientWithRoom }));
  } catch (error) {
    const answer = errorAnswer(error);
    if (answer === undefined) {
      throw error;
    }
    return `${answer.code} ${answer.message}`;
  }
}

/** It reads everything at once, so there is room for any answer. */
const clientWithRoom = {
  answerRoom: async () => ({ grow: () => {}, [Symbol.dispose]: () => {} }),
} as unknown as Client;

function textOf(answer: MethodResult): string {
  const result = answer instanceof Answer ? answer.result : answer;
  if (Array.isArray(result)) {
    return Buffer.concat(result).toString();
  }
  return result instanceof JsonText ? result.text : encodeResult(result as ResultObject);
}

/** `files.extract_tar` with its result read. */
export async function extract(
  archivePath: string,
  destDir: string,
  options?: CallOptions,
): Promise<{ success: boolean; fileCount: number; error?: string }> {
  return JSON.parse(await call('files.extract_tar', { archivePath, destDir }, options));
}

/** A folder of the test's own, gone when the test ends. */
export function scratchFolder(): string {
  const folder = mkdtempSync('/tmp/hff-');
  onTestFinished(() => {
    // Tests take rights away from folders, which binds everybody but root.
    spawnSync('chmod', ['-R', 'u+rwX', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Paths below a folder with their kind and content, sorted: `a/`, `a/f=content`, `l->target`. */
export function treeOf(folder: string): string[] {
  return below(Buffer.from(folder), '').sort();
}

function below(folder: Buffer, shown: string): string[] {
  return readdirSync(folder, { encoding: 'buffer' }).flatMap((bytes) => {
    const path = Buffer.concat([folder, Buffer.from('/'), bytes]);
    const name = shown + bytes.toString();
    const found = lstatSync(path);
    if (found.isDirectory()) {
      return [`${name}/`, ...below(path, `${name}/`)];
    }
    if (found.isSymbolicLink()) {
      return [`${name}->${readlinkSync(path)}`];
    }
    return [found.isFile() ? `${name}=${contentOf(path)}` : `${name}?`];
  });
}

function contentOf(path: Buffer): string {
  const content = readFileSync(path);
  return content.length <= 64 ? content.toString() : `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/**
 * Runs `work` as a user whom file permissions bind; root becomes one for that long.
 * All threads of the process change, so nothing else may run meanwhile.
 */
export async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) {
    return work();
  }
  process.setegid?.(65_534);
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
