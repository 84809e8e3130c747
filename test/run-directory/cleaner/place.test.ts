/** Where the host cleaner is on, and the one line that says why it is not (spec platform.md §2 "Host cleaner"). */
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createPlatform } from '../../../platform/posix/index.ts';
import { createCounters } from '../../../src/base/counters.ts';
import { createLog } from '../../../src/base/log.ts';
import { timings } from '../../../src/base/timings.ts';
import { findPlace } from '../../../src/run-directory/cleaner/place.ts';
import { startHostCleaner } from '../../../src/run-directory/cleaner/schedule.ts';
import { temporaryFolder } from '../../platform/machine.ts';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { program } from '../../support/holdfast.ts';
import { Host } from './support.ts';

const platform = createPlatform();
const { paths } = platform;

/** Everything the log says about the cleaner, without time, and what stands before the first of it. */
function cleanerLines(daemon: TestDaemon): { before: string; lines: string[] } {
  const lines = daemon.log().split('\n');
  const isOurs = (line: string) => /host cleaning|\[hostclean\]/.test(line);
  return {
    before: lines[lines.findIndex(isOurs) - 1] ?? '',
    lines: lines.filter(isOurs).map((line) => line.replace(/^\S+ \S+ /, '')),
  };
}

describe('a daemon of profile next says in one line after its banner', () => {
  test('that its socket is not in the layout', async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    const { before, lines } = cleanerLines(daemon);
    expect(before).toMatch(/^Claustrum remote server listening on /);
    expect(lines).toEqual([
      `INFO  [daemon] host cleaning off: socket path "${daemon.socket}" is not <root>/run/<id>/rpc.sock`,
    ]);
  });

  test('that its program is not in the layout', async () => {
    const root = temporaryFolder();
    const runDir = join(root, 'run', 'a');
    await using daemon = await startDaemon({ profile: 'next', at: { runDir, program } });
    const { before, lines } = cleanerLines(daemon);
    expect(before).toMatch(/^Claustrum remote server listening on /);
    expect(lines).toEqual([
      `INFO  [daemon] host cleaning off: executable "${program}" is not a deployed daemon under ${root}/srv`,
    ]);
  });

  test('where it is on, and when', async () => {
    using host = new Host();
    await using daemon = await host.daemon('a', { profile: 'next' });
    const { before, lines } = cleanerLines(daemon);
    expect(before).toMatch(/^Claustrum remote server listening on /);
    expect(lines).toEqual([`INFO  [hostclean] on under ${host.root}: first pass in 15s, then one every 24h0m0s`]);
  });
});

test.each(['S', 'current'] as const)(
  'a daemon of profile %s says nothing of it and cleans nothing',
  async (profile) => {
    using host = new Host();
    await using daemon = await host.daemon('a', { profile });
    expect(cleanerLines(daemon).lines).toEqual([]);
  },
);

test('a system without what it needs is told apart', () => {
  const lines: string[] = [];
  const log = createLog({
    level: 'debug',
    write: (bytes) => lines.push(bytes.toString()) * 0 + bytes.length,
  });
  startHostCleaner({
    platform: { ...platform, hostCleaning: undefined },
    socketPath: '/r/run/a/rpc.sock',
    log,
    counters: createCounters(),
    timings,
    signal: new AbortController().signal,
  });
  expect(lines.map((line) => line.replace(/^\S+ \S+ /, ''))).toEqual(['INFO  [daemon] host cleaning off: not built\n']);
});

/** A layout with the run directory `a`. */
function layout(): string {
  const root = temporaryFolder();
  for (const folder of ['run/a', 'srv/v1/bin']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  return root;
}

const off = /^(socket path|executable) "/;

describe('the layout', () => {
  test.each([
    ['a single file', 'srv/v2/holdfast'],
    ['an installation with its bin folder', 'srv/v1/bin/holdfast'],
    ['a single file of an id that is called bin', 'srv/bin/holdfast'],
  ])('takes %s', (_, executable) => {
    const root = layout();
    expect(findPlace({ paths, socketPath: join(root, 'run/a/rpc.sock'), executable: join(root, executable) })).toEqual({
      root,
      runFolder: join(root, 'run'),
      ownRunDirectory: join(root, 'run/a'),
      cliFolder: join(root, 'ccd-cli'),
      deployments: join(root, 'srv'),
    });
  });

  test.each(['holdfast', 'srv/holdfast', 'srv/v1/lib/holdfast', 'srv/v1/bin/x/holdfast', 'srv2/v1/holdfast'])(
    'does not take the program at %s',
    (executable) => {
      const root = layout();
      const place = findPlace({ paths, socketPath: join(root, 'run/a/rpc.sock'), executable: join(root, executable) });
      expect(place).toBe(`executable "${join(root, executable)}" is not a deployed daemon under ${root}/srv`);
    },
  );

  test.each([
    'run/a/other.sock',
    'run/rpc.sock',
    'run/a/b/rpc.sock',
    'sub/a/rpc.sock',
    'run/missing/rpc.sock',
    'run/../rpc.sock',
  ])('does not take the socket at %s', (socket) => {
    const root = layout();
    mkdirSync(join(root, 'sub/a'), { recursive: true });
    mkdirSync(join(root, 'run/a/b'), { recursive: true });
    const socketPath = `${root}/${socket}`;
    expect(findPlace({ paths, socketPath, executable: join(root, 'srv/v1/bin/holdfast') })).toBe(
      `socket path "${socketPath}" is not <root>/run/<id>/rpc.sock`,
    );
  });

  test('does not take a relative socket path', () => {
    expect(findPlace({ paths, socketPath: 'run/a/rpc.sock', executable: '/srv/v1/holdfast' })).toMatch(off);
  });

  test('is never the root of the file system, whose /run belongs to everybody', () => {
    expect(findPlace({ paths, socketPath: '/run/lock/rpc.sock', executable: '/srv/v1/holdfast' })).toBe(
      'socket path "/run/lock/rpc.sock" is not <root>/run/<id>/rpc.sock',
    );
  });

  test('may be reached through a link, and is then where that leads', () => {
    const root = layout();
    const link = join(temporaryFolder(), 'link');
    symlinkSync(root, link);
    const executable = join(root, 'srv/v1/bin/holdfast');
    expect(findPlace({ paths, socketPath: join(link, 'run/a/rpc.sock'), executable })).toMatchObject({ root });
  });

  test.each(['run', 'run/a'])('is not one with a link in place of %s', (folder) => {
    const root = layout();
    const elsewhere = join(temporaryFolder(), 'elsewhere');
    renameSync(join(root, folder), elsewhere);
    symlinkSync(elsewhere, join(root, folder));
    const executable = join(root, 'srv/v1/bin/holdfast');
    expect(findPlace({ paths, socketPath: join(root, 'run/a/rpc.sock'), executable })).toMatch(off);
  });
});
