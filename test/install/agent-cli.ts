/**
 * The agent CLI itself, from npm: one program of about 245 MB. Fetched once into `node_modules/.cache`, verified against
 * the checksums below each time.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { extract } from 'tar';
import { afterAll, beforeAll } from 'vitest';
import { removeFolder } from '../support/remove-folder.ts';

const version = '2.1.197';
/** Of the package, as the registry tells it, by processor. */
const integrity: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'rIlKmrY0QMyHgPRX/MYWNj039vbypICvI9jVe3rs9Xy2RnNklySjyPxqh62QadznzoftEO23uYQ1tFePcQ//bg==',
  arm64: 'sx6SoGj3MNR5CV+YDkNtbLHXa1tn3G8qcYFgm1gnvOi9ODQUKbhiPfankJfkTMDVekOvnKJhm6i9hGFIPzp7cQ==',
};

const cache = fileURLToPath(new URL('../../node_modules/.cache/agent-cli/', import.meta.url));

/**
 * Unpacks the program into `folder`.
 * @returns its path
 * @throws Error that says how to get the package
 */
export async function fetchAgentCli(folder: string): Promise<string> {
  const expected = integrity[process.arch];
  if (expected === undefined) {
    throw new Error(`no checksum of the agent CLI for ${process.arch} is known here`);
  }
  const name = `claude-code-linux-${process.arch}`;
  const archive = join(cache, `anthropic-ai-${name}-${version}.tgz`);
  if (!existsSync(archive) || (await sha512(archive)) !== expected) {
    mkdirSync(cache, { recursive: true });
    const pack = ['pack', `@anthropic-ai/${name}@${version}`, '--pack-destination', cache, '--loglevel=error'];
    await promisify(execFile)('npm', pack, { timeout: 60_000 }).catch((error: Error) => {
      throw new Error(
        `the agent CLI cannot be fetched from the package registry; the test needs it.\nTo get it: npm ${pack.join(' ')}\n${error.message}`,
      );
    });
    if ((await sha512(archive)) !== expected) {
      throw new Error(`${archive} is not the package that is expected`);
    }
  }
  await extract({ file: archive, cwd: folder, strip: 1, strict: true, filter: (path) => path === 'package/claude' });
  return join(folder, 'claude');
}

async function sha512(path: string): Promise<string> {
  const hash = createHash('sha512');
  await pipeline(createReadStream(path), hash);
  return hash.digest('base64');
}

/**
 * The program for all tests of a file, fetched before and removed after them. Not skipped when the package cannot be had: the
 * message says why, and the tests fail.
 */
export function agentCliForTests(): { readonly folder: string; readonly program: string } {
  const cli = { folder: '', program: '' };
  beforeAll(async () => {
    cli.folder = mkdtempSync('/tmp/hf-');
    cli.program = await fetchAgentCli(cli.folder);
  }, 120_000);
  afterAll(() => removeFolder(cli.folder));
  return cli;
}
