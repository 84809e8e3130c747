/** What an adapter promises about the machine around the daemon (platform/platform.ts, spec modes.md §6). */
import { closeSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Detached, DetachRequest } from '../../platform/detach.ts';
import { SystemCallError } from '../../platform/errors.ts';
import { waitUntil } from '../support/wait.ts';
import { fixture } from './fixture.ts';
import { type Machine, temporaryFolder } from './machine.ts';
import { currentEnvironment } from './running-child.ts';

export function hostContract({ platform, openHandles, words }: Machine): void {
  const { host, processes, runDirectories } = platform;

  function detach(args: readonly string[], changes: Partial<DetachRequest> = {}): Detached {
    const detached = host.detach({
      file: process.execPath,
      args: [fixture('detached-program'), ...args],
      env: currentEnvironment(),
      logFd: undefined,
      secret: undefined,
      statusVariable: 'TEST_STATUS',
      secretVariable: 'TEST_SECRET',
      ...changes,
    });
    onTestFinished(async () => {
      const identity = processes.identify(detached.pid);
      if (identity !== undefined) {
        processes.signalIfSame(identity, 'KILL');
      }
      await waitUntil(() => processes.identify(detached.pid) === undefined || undefined, 'the program to be gone');
      detached.release();
    });
    return detached;
  }

  async function statusOf(detached: Detached): Promise<string> {
    const pieces: Buffer[] = [];
    for await (const piece of detached.status) {
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString();
  }

  test('random names have two digits for each byte and no two are the same', () => {
    const names = Array.from({ length: 100 }, () => host.randomHex(16));
    expect(names.filter((name) => !/^[0-9a-f]{32}$/.test(name))).toEqual([]);
    expect(new Set(names).size).toBe(100);
  });

  test('a machine has a name that it keeps, with the system in front, or none', () => {
    expect(host.hostId()).toMatch(/^(?:(?:linux|win32):[0-9a-f-]{32,36})?$/);
    expect(host.hostId()).toBe(host.hostId());
  });

  describe('a detached program', () => {
    test('reports once, and the report ends when it was written', async () => {
      const detached = detach(['report', 'two words', 'ready\nand more']);
      expect(JSON.parse(await statusOf(detached))).toEqual(['two words', 'ready\nand more']);
      expect(detached.exitText()).toBeUndefined();
      expect(processes.identify(detached.pid)).toBeDefined();
    });

    test('gets a secret that is in no argument and no variable', async () => {
      const secret = 'top secret token';
      const detached = detach(['secret'], { secret: Buffer.from(secret) });
      const { read, argv, env } = JSON.parse(await statusOf(detached));
      expect(read).toBe(secret);
      expect(JSON.stringify([argv, env])).not.toContain(secret);
    });

    test('writes both of its outputs to the log', async () => {
      const path = join(temporaryFolder(), 'log');
      const log = runDirectories.openLog(path, 'unlink');
      if ('declined' in log) {
        throw new Error(log.declined);
      }
      const detached = detach(['outputs'], { logFd: log.fd });
      closeSync(log.fd);
      await statusOf(detached);
      expect(readFileSync(path, 'utf8')).toBe('to stdout\nto stderr\n');
    });

    test('that dies without a report is told apart from one that lives, with its exit status', async () => {
      const detached = detach(['exit', '3']);
      expect(await statusOf(detached)).toBe('');
      expect(await waitUntil(() => detached.exitText(), 'the exit status')).toBe('exit status 3');
      expect(detached.exitText()).toBe('exit status 3');
    });

    test('lives on when the one who started it is gone', async () => {
      const launcher = detach(['launch']);
      const { pid } = JSON.parse(await statusOf(launcher));
      const identity = processes.identify(pid);
      if (identity === undefined) {
        throw new Error('the program is gone already');
      }
      onTestFinished(() => {
        processes.signalIfSame(identity, 'KILL');
      });
      expect(await waitUntil(() => launcher.exitText(), 'the launcher to end')).toBe('exit status 0');
      expect(processes.identify(pid)).toEqual(identity);
    });

    test('that cannot be started is refused with its path, and nothing stays open', async () => {
      const file = join(temporaryFolder(), 'missing');
      const before = openHandles();
      for (let round = 0; round < 10; round++) {
        const start = () => detach([], { file, secret: Buffer.from('secret') });
        expect(start).toThrow(SystemCallError);
        expect(start).toThrow(`fork/exec ${file}: ${words.noSuchFile}`);
      }
      await waitUntil(() => openHandles() <= before + 3 || undefined, `handles to come down to ${before}`);
    });
  });

  test('a descriptor that is not open is reported by its number', () => {
    expect(() => host.readDescriptor('8000', 10)).toThrow(/^read descriptor 8000: /);
  });

  test('the memory it may use is known, and no more than the machine has', () => {
    expect(host.memoryLimit()).toBeGreaterThan(16 * 1024 * 1024);
    expect(host.memoryLimit()).toBeLessThanOrEqual(totalmem());
  });

  test('the home folder is read at each call', () => {
    const variable = platform.name === 'win32' ? 'USERPROFILE' : 'HOME';
    const before = process.env[variable];
    onTestFinished(() => {
      process.env[variable] = before;
    });
    process.env[variable] = '/somewhere';
    expect(host.home()).toBe('/somewhere');
    process.env[variable] = '';
    expect(host.home()).toBeUndefined();
    delete process.env[variable];
    expect(host.home()).toBeUndefined();
  });
}
