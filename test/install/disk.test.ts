/** Disks that are full, read-only, without execution, or fail at a single call (reliability fault 13). */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { InstallRequest } from '../../src/install/context.ts';
import { passMatrix } from '../faults/support/matrix.ts';
import { runProgram } from '../modes/run-program.ts';
import { becoming, otherUsers } from '../support/as-user.ts';
import { cleanEnvironment, program } from '../support/holdfast.ts';
import { privateMounts, testNeeding, tracing } from '../support/needs.ts';
import { frameOfRuns } from './archives.ts';
import { serveHttp } from './servers.ts';
import { goodCli, type InstallRun, pack, profiles, readRun, sha256, Workshop } from './support.ts';

const testOnDisk = testNeeding(privateMounts());
const testCalls = testNeeding(tracing());
/** A CLI of a megabyte that compresses badly, so that the blob is as large. */
const bigCli = `${goodCli}# ${randomBytes(1_100_000).toString('base64')}\n`;

interface DiskRun extends InstallRun {
  /** Names in the folder of the versions at the end. */
  readonly left: string[];
}

/**
 * Runs `-install` with a file system of its own under the folder of the versions; the mount ends with the run.
 * @param before shell lines run in that folder first
 */
async function installOnDisk(
  shop: Workshop,
  mountOptions: string,
  words: readonly string[],
  options: { readonly profile: string; readonly before?: string; readonly after?: string },
): Promise<DiskRun> {
  mkdirSync(shop.folder, { recursive: true });
  const left = join(shop.home, 'left');
  const script = `set -e
    mount -t tmpfs -o ${mountOptions} none ${shop.folder}
    (cd ${shop.folder}; ${options.before ?? ':'})
    ${options.after ?? ':'}
    status=0
    "$@" || status=$?
    ls -A ${shop.folder} > ${left}
    exit $status`;
  const all = [program, '-install', '-wire-profile', options.profile, '-cli-dir', shop.folder, ...words];
  const result = await runProgram('unshare', ['-m', 'sh', '-c', script, 'sh', ...all], {
    env: cleanEnvironment(shop.home),
  });
  return { ...readRun(result), left: readFileSync(left, 'utf8').split('\n').slice(0, -1) };
}

const wanted = ['-cli-version', '1.2.3'];

describe.each(profiles)('profile %s', (profile) => {
  testOnDisk('a full disk is named, keeps the blob and the version that was there', {}, async () => {
    const shop = new Workshop();
    const blob = shop.blob(bigCli);
    const before = `printf '#!/bin/sh\\nexit 1\\n' > 1.2.3; echo kept > 1.0.0`;
    const options = { profile, before };
    const { facts, left } = await installOnDisk(shop, 'size=1m', [...wanted, '-cli-zst', blob], options);
    expect(facts.cliError).toMatch(
      new RegExp(`^decompressing: write ${shop.path('.fetch-')}[0-9a-f]{16}: no space left on device$`),
    );
    expect(left).toEqual(['1.0.0', '1.2.3']);
    expect(existsSync(blob)).toBe(true);
  });

  testOnDisk('a disk that a download fills is named', {}, async () => {
    const shop = new Workshop();
    const packed = pack(bigCli);
    const url = await serveHttp((_, answer) => answer.end(packed));
    const words = [...wanted, '-cli-url', url, '-cli-checksum', sha256(packed)];
    const { facts, left } = await installOnDisk(shop, 'size=1m', words, { profile });
    expect(facts.cliError).toMatch(
      new RegExp(`^download failed: write ${shop.path('.blob-')}[0-9a-f]{16}: no space left on device$`),
    );
    expect(left).toEqual([]);
  });

  testOnDisk('a bomb ends where the disk does, and leaves it empty', {}, async () => {
    const shop = new Workshop();
    const blob = join(shop.home, 'blob');
    writeFileSync(blob, frameOfRuns(81_920));
    const { facts, left } = await installOnDisk(shop, 'size=4m', [...wanted, '-cli-zst', blob], { profile });
    expect(facts.cliError).toMatch(/^decompressing: write .*: no space left on device$/);
    expect(left).toEqual([]);
  });

  testOnDisk('a disk that executes nothing makes a CLI that does not run, and it does not stay', {}, async () => {
    const shop = new Workshop();
    const words = [...wanted, '-cli-zst', shop.blob()];
    const { facts, left } = await installOnDisk(shop, 'size=1m,noexec', words, { profile });
    expect(facts.cliError).toBe(`installed cli at ${shop.path('1.2.3')} is not runnable`);
    expect(left).toEqual([]);
  });

  testOnDisk('a read-only disk is named; a download still finds a place to be checked', {}, async () => {
    const shop = new Workshop();
    const after = `mount -o remount,ro ${shop.folder}`;
    const options = { profile, before: 'echo kept > 1.0.0', after };
    const blob = shop.blob();
    const { facts, left } = await installOnDisk(shop, 'size=1m', [...wanted, '-cli-zst', blob], options);
    const refused = new RegExp(`^staging cli: open ${shop.path('.fetch-')}[0-9a-f]{16}: read-only file system$`);
    expect(facts.cliError).toMatch(refused);
    expect(left).toEqual(['1.0.0']);
    expect(existsSync(blob)).toBe(true);

    const packed = pack(goodCli);
    const url = await serveHttp((_, answer) => answer.end(packed));
    const words = [...wanted, '-cli-url', url, '-cli-checksum', sha256(packed)];
    expect((await installOnDisk(shop, 'size=1m', words, options)).facts.cliError).toMatch(refused);
  });

  testOnDisk('a folder in the place of the CLI that cannot be cleared is named, and stays', {}, async () => {
    const shop = new Workshop();
    const before = 'mkdir -p 1.2.3/busy && mount -t tmpfs none 1.2.3/busy';
    const blob = shop.blob();
    const { facts, left } = await installOnDisk(shop, 'size=1m', [...wanted, '-cli-zst', blob], { profile, before });
    const path = shop.path('1.2.3');
    expect(facts.cliError).toMatch(new RegExp(`^clearing stale dir at ${path}: .*: device or resource busy$`));
    expect(left).toEqual(['1.2.3']);
  });

  testNeeding(otherUsers())('a folder of somebody else is named', {}, async () => {
    const shop = new Workshop();
    const nobody = 65_534;
    chmodSync(shop.home, 0o755);
    const home = join(shop.home, 'home');
    mkdirSync(home);
    chownSync(home, nobody, nobody);
    const blob = join(home, 'blob');
    writeFileSync(blob, pack(goodCli));
    const asNobody = async (folder: string) => {
      const words = ['-install', '-wire-profile', profile, '-cli-dir', folder, ...wanted, '-cli-zst', blob];
      const [setpriv = '', ...through] = [...becoming(nobody), program, ...words];
      return readRun(await runProgram(setpriv, through, { env: cleanEnvironment(home) }));
    };
    mkdirSync(shop.folder, { mode: 0o755 });
    expect((await asNobody(shop.folder)).facts.cliError).toMatch(
      new RegExp(`^staging cli: open ${shop.path('.fetch-')}[0-9a-f]{16}: permission denied$`),
    );
    expect((await asNobody(shop.path('below'))).facts).toMatchObject({
      cliPath: '',
      cliError: `mkdir cli dir: mkdir ${shop.path('below')}: permission denied`,
    });
    expect(existsSync(blob)).toBe(true);
  });
});

/** Which of its own calls, counted from 1 for each thread as strace counts them, a program made on files below `folder`. */
function callsOn(folder: string, call: string, log: string): number[] {
  const perThread = new Map<string, number>();
  const found = new Set<number>();
  for (const [line, thread = ''] of log.matchAll(new RegExp(`^(\\d+) +${call}\\(.*`, 'gm'))) {
    const n = (perThread.get(thread) ?? 0) + 1;
    perThread.set(thread, n);
    if (line.includes(folder)) {
      found.add(n);
    }
  }
  return [...found].sort((a, b) => a - b);
}

interface Failing {
  readonly call: string;
  readonly errors: readonly (keyof typeof words)[];
  /** In front of the path. */
  readonly text: string;
}

const words = {
  ENOSPC: 'no space left on device',
  EIO: 'input/output error',
  EDQUOT: 'disk quota exceeded',
} as const;

const everyError = Object.keys(words) as (keyof typeof words)[];

const failing: readonly Failing[] = [
  { call: 'mkdir', errors: ['ENOSPC', 'EDQUOT'], text: 'mkdir cli dir: mkdir' },
  { call: 'pread64', errors: ['EIO'], text: 'read' },
  { call: 'pwrite64', errors: everyError, text: 'write' },
  { call: 'fsync', errors: everyError, text: 'decompressing: sync' },
  { call: 'fchmod', errors: ['EIO'], text: 'chmod' },
  { call: 'rename', errors: everyError, text: 'rename' },
];

const matrix = passMatrix();

describe.each([
  ['S', '-cli-zst'],
  ['next', '-cli-zst'],
  ['next', '-cli-url'],
] as const)('profile %s with %s', (profile, from) => {
  const packed = pack(bigCli);
  // A read of the dynamic loader, which fails with the same number, is told from ours by the path.
  const failingHere = failing.filter(({ call }) => call !== 'pread64' || from === '-cli-zst');

  /** File calls are made by one thread, so that "the n-th" means the same in each run. */
  async function traced(
    shop: Workshop,
    call: string,
    source: readonly string[],
    rules: readonly string[],
  ): Promise<InstallRun> {
    const install = [program, '-install', '-wire-profile', profile, '-cli-dir', shop.folder, ...wanted, ...source];
    const env = cleanEnvironment(shop.home, { UV_THREADPOOL_SIZE: '1', TMPDIR: shop.home });
    const path = call === 'pread64' ? ['-P', join(shop.home, 'blob')] : [];
    const rest = [`trace=${call}`, ...rules].flatMap((rule) => ['-e', rule]);
    const trace = ['-f', '--seccomp-bpf', '-y', '-qq', '-o', join(shop.home, 'trace'), ...path, ...rest];
    return readRun(await runProgram('strace', [...trace, ...install], { env }));
  }

  async function createSource(): Promise<(shop: Workshop) => { words: string[]; asked: Partial<InstallRequest> }> {
    const cliChecksum = sha256(packed);
    const url = from === '-cli-url' ? await serveHttp((_, answer) => answer.end(packed)) : undefined;
    return (shop) => {
      const place = url ?? shop.blob(bigCli);
      return {
        words: [from, place, '-cli-checksum', cliChecksum],
        asked: { [url === undefined ? 'cliZst' : 'cliUrl']: place, cliChecksum },
      };
    };
  }

  for (const { call, errors, text } of failingHere) {
    testCalls(
      `every ${call} that fails is named; old versions stay, no half one appears, the next run succeeds`,
      { timeout: 180_000 },
      async () => {
        const sourceFor = await createSource();
        const counting = new Workshop();
        await traced(counting, call, sourceFor(counting).words, []);
        const found = callsOn(counting.home, call, readFileSync(join(counting.home, 'trace'), 'utf8'));
        expect(found.length).toBeGreaterThan(0);

        for (const [index, n] of found.entries()) {
          // All errors at the first place, one after the other at the rest.
          for (const error of index === 0 ? errors : [errors[index % errors.length] ?? 'EIO']) {
            const what = `${error} at ${call} number ${n}`;
            const shop = new Workshop();
            // Where a folder is made there can be no old version.
            if (call !== 'mkdir') {
              shop.put('1.0.0', goodCli);
            }
            const before = shop.names();
            const rules = [`inject=${call}:error=${error}:when=${n}`];
            const { facts } = await traced(shop, call, sourceFor(shop).words, rules);
            // What comes over the network comes in more or fewer pieces.
            const isPastTheEnd = index > 0 && from === '-cli-url' && facts.cliError === undefined;
            if (!isPastTheEnd) {
              expect(facts.cliError ?? '', what).toContain(`${text} ${shop.home}`);
              expect(facts.cliError, what).toMatch(new RegExp(`: ${words[error]}$`));
              expect(shop.names(), what).toEqual(before);
            }
            // In this process: what counts is what the failure has left.
            const { outcome } = await shop.installHere(sourceFor(shop).asked, { profile });
            expect(outcome, what).not.toHaveProperty('cliError');
            expect(sha256(readFileSync(shop.path('1.2.3'))), what).toBe(sha256(bigCli));
          }
        }
        matrix.add(`install, ${profile}, ${from}`, call, found.length, errors);
      },
    );
  }
});
