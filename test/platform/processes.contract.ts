/** What an adapter promises about children and other processes (platform/platform.ts, spec process.md §3, §6, §11). */
import { createHash, randomBytes } from 'node:crypto';
import { realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitUntil } from '../support/wait.ts';
import { fixture } from './fixture.ts';
import { type Machine, temporaryFolder } from './machine.ts';
import { currentEnvironment, maxChunkBytes, RunningChild, runFixture } from './running-child.ts';

export function processesContract({ platform, exitWith, shortLived, openHandles, words }: Machine): void {
  const { processes } = platform;
  const isAlive = (pid: number) => processes.identify(pid) !== undefined;
  const untilHandles = (most: number) =>
    waitUntil(() => openHandles() <= most || undefined, `at most ${most} open handles`);
  const untilGone = (pid: number) => waitUntil(() => !isAlive(pid) || undefined, `process ${pid} to be gone`);

  describe('starting a child', () => {
    test('a child gets its arguments exactly as they were sent', async () => {
      const args = [
        'plain',
        '',
        'two words',
        'a "quoted" word',
        '"',
        'back\\slash',
        'trailing\\',
        'trailing space and \\',
        '\\\\"',
        '%PATH% $HOME `x`',
        'a&b|c>d<e^f',
        'ünï ☃ 😀',
        'line\nbreak\ttab',
      ];
      const running = runFixture(platform, 'print-what-i-got', args);
      await running.over();
      expect(JSON.parse(running.text('stdout')).args).toEqual(args);
    });

    test('a child gets the environment and folder it was given, and none of ours besides', async () => {
      const cwd = realpathSync(temporaryFolder());
      process.env.HOLDFAST_NOT_FOR_CHILDREN = 'set in the daemon';
      const needed = currentEnvironment().filter(([name]) => /^(systemroot|path|home|userprofile)$/i.test(name));
      const running = runFixture(platform, 'print-what-i-got', [], {
        cwd,
        env: [...needed, ['ZZZ', 'last'], ['AAA', 'ünï ☃'], ['EMPTY', '']],
      });
      await running.over();
      delete process.env.HOLDFAST_NOT_FOR_CHILDREN;
      const got = JSON.parse(running.text('stdout'));
      expect(got.cwd).toBe(cwd);
      expect(got.env).toMatchObject({ ZZZ: 'last', AAA: 'ünï ☃', EMPTY: '' });
      expect(got.env).not.toHaveProperty('HOLDFAST_NOT_FOR_CHILDREN');
    });

    test('the start time is the moment the child was created', async () => {
      const before = Date.now() / 1000;
      const { child } = runFixture(platform, 'wait-for-ever');
      const after = Date.now() / 1000;
      // Clocks of the kernel tick in hundredths, and its idea of "boot" moves with the wall clock.
      expect(child.startTime).toBeGreaterThan(before - 2);
      expect(child.startTime).toBeLessThan(after + 2);
    });

    test('a missing folder is named before a missing program', () => {
      const cwd = join(temporaryFolder(), 'missing');
      expect(() => new RunningChild(platform, { command: 'no-such-program', cwd })).toThrow(
        `chdir ${cwd}: ${words.statOperation} ${cwd}: ${words.noSuchFile}`,
      );
    });

    test('a file is no folder to start in', () => {
      const cwd = join(temporaryFolder(), 'file');
      writeFileSync(cwd, '');
      expect(() => new RunningChild(platform, { command: process.execPath, cwd })).toThrow(
        `chdir ${cwd}: not a directory`,
      );
    });

    test('a name that is nowhere in the path is refused with the name quoted', () => {
      expect(() => new RunningChild(platform, { command: 'no "such" program' })).toThrow(
        `exec: "no \\"such\\" program": executable file not found in ${words.notFoundInPath}`,
      );
    });

    test('a program that is not there is refused with its path', () => {
      const command = join(temporaryFolder(), 'no-such-program');
      expect(() => new RunningChild(platform, { command })).toThrow(`fork/exec ${command}: ${words.noSuchFile}`);
    });

    test('a NUL byte never cuts an argument, a path or a variable short', () => {
      const command = process.execPath;
      expect(() => new RunningChild(platform, { command, args: ['a\0b'] })).toThrow(
        `fork/exec ${command}: invalid argument`,
      );
      expect(() => new RunningChild(platform, { command, env: [['A', 'b\0c']] })).toThrow(
        'exec: environment variable contains NUL',
      );
    });

    test('a start that fails leaves no descriptor and no process behind', async () => {
      const file = join(temporaryFolder(), 'text.exe');
      writeFileSync(file, 'no program');
      const attempt = () => expect(() => new RunningChild(platform, { command: file })).toThrow('fork/exec');
      const before = openHandles();
      for (let round = 0; round < 20; round++) {
        attempt();
      }
      await untilHandles(before + 3);
    });
  });

  describe('streams', () => {
    test('stdout and stderr are kept apart, end once each, and the exit code is exact', async () => {
      for (const code of [0, 1, 7, 255]) {
        const running = runFixture(platform, 'write-both-streams', [String(code)]);
        expect(await running.over()).toEqual({ code, signal: undefined });
        expect([running.text('stdout'), running.text('stderr')]).toEqual(['to stdout', 'to stderr']);
        expect([...running.happened].sort()).toEqual(['end', 'stderr end', 'stdout end']);
      }
    });

    test('100 MB go through a child and come back unchanged, however often reading is paused', async () => {
      const block = randomBytes(1 << 20);
      const sent = createHash('sha256');
      const received = createHash('sha256');
      let bytesBack = 0;
      let largest = 0;
      const running = runFixture(platform, 'echo-input', [], {
        onOutput(stream, bytes) {
          if (stream === 'stderr') {
            return true;
          }
          received.update(bytes);
          bytesBack += bytes.length;
          largest = Math.max(largest, bytes.length);
          // Every now and then the reader asks for a break.
          if (bytesBack % 8 !== 0) {
            return true;
          }
          setImmediate(() => running.child.resume('stdout'));
          return false;
        },
      });
      for (let written = 0; written < 100; written++) {
        sent.update(block);
        await new Promise<void>((done) => running.child.writeInput(block, done));
      }
      running.child.closeInput();
      expect((await running.over()).code).toBe(0);
      expect(bytesBack).toBe(100 << 20);
      expect(received.digest('hex')).toBe(sent.digest('hex'));
      expect(largest).toBeLessThanOrEqual(maxChunkBytes);
    }, 120_000);

    test('input that waits for a reader is dropped without an error when the child ends', async () => {
      const running = runFixture(platform, 'wait-for-ever');
      await running.line();
      const dropped = new Promise<void>((done) => running.child.writeInput(Buffer.alloc(1 << 20), done));
      running.child.signal('KILL', 'tree');
      await dropped;
      await running.over();
      await new Promise<void>((done) => running.child.writeInput(Buffer.alloc(1 << 20), done));
    });

    // Node's runtime never really closes a standard stream on Windows, so no fixture can show it there.
    if (platform.name === 'posix') {
      test('input for a child that has closed its end is dropped without an error', async () => {
        const running = runFixture(platform, 'ignore-input');
        await running.line();
        await new Promise<void>((done) => running.child.writeInput(Buffer.alloc(1 << 20), done));
        expect(running.happened).toEqual([]);
      });
    }

    test('a child on the null device is heard of nowhere, takes any input, and ends with its code', async () => {
      const running = runFixture(platform, 'write-both-streams', ['7'], { streams: 'nullDevice' });
      await new Promise<void>((done) => running.child.writeInput(Buffer.from('dropped'), done));
      await running.ended();
      expect(running.child.collect()).toEqual({ code: 7, signal: undefined });
      expect(running.happened).toEqual(['end']);
      expect(running.text('stdout') + running.text('stderr')).toBe('');
    });

    test('a child that ended is seen as ended while somebody it started still holds its output', async () => {
      const running = runFixture(platform, 'start-a-grandchild', ['keep', 'leave']);
      const grandchild = Number(await running.line());
      await running.ended();
      expect(running.happened).toEqual(['end']);
      expect(isAlive(grandchild)).toBe(true);
      running.child.closeOutput();
      expect(await running.over()).toEqual({ code: 0, signal: undefined });
      await endStranger(grandchild);
    });
  });

  describe('ending', () => {
    test('KILL for the tree takes what the child had started, even as its first act', async () => {
      const running = runFixture(platform, 'start-a-grandchild', ['keep']);
      const grandchild = Number(await running.line());
      expect(isAlive(grandchild)).toBe(true);
      expect(running.child.signal('KILL', 'tree')).toBeUndefined();
      const status = await running.over();
      expect(status).toEqual(
        platform.name === 'win32' ? { code: 1, signal: undefined } : { code: -1, signal: 'SIGKILL' },
      );
      await untilGone(grandchild);
    });

    test('a kill of the child alone leaves what it had started alive', async () => {
      const running = runFixture(platform, 'start-a-grandchild', [], { gentleScope: 'child' });
      const grandchild = Number(await running.line());
      running.child.signal('TERM', 'child');
      await running.over();
      expect(isAlive(grandchild)).toBe(true);
      await endStranger(grandchild);
    });

    test('a child on the null device hands nothing over and drops its input; its end is told', async () => {
      const [command, ...args] = exitWith(3);
      const running = new RunningChild(platform, { command, args, streams: 'nullDevice' });
      await new Promise<void>((resolve) => running.child.writeInput(Buffer.from('nobody reads this'), resolve));
      await running.ended();
      expect(running.child.collect()).toEqual({ code: 3, signal: undefined });
      expect(running.happened).toEqual(['end']);
    });

    test('a collected child keeps its status, and a late signal hits nobody', async () => {
      const [command, ...args] = exitWith(3);
      const running = new RunningChild(platform, { command, args });
      expect(await running.over()).toEqual({ code: 3, signal: undefined });
      expect(running.child.signal('KILL', 'tree')).toBeUndefined();
      expect(running.child.collect()).toEqual({ code: 3, signal: undefined });
    });

    test(`${shortLived} short-lived children end with their own codes and leave no handle open`, async () => {
      const run = async (count: number) => {
        for (let done = 0; done < count; done += 10) {
          const some = Array.from({ length: 10 }, (_, index) => (done + index) % 250);
          await Promise.all(
            some.map(async (code) => {
              const [command, ...args] = exitWith(code);
              expect((await untilOver(command, args)).code).toBe(code);
            }),
          );
        }
      };
      await run(20);
      const before = openHandles();
      await run(shortLived);
      await untilHandles(before + 3);
    }, 300_000);
  });

  describe('identity', () => {
    test('this process is known to itself and to others by the same identity', () => {
      const self = processes.self();
      expect(self.pid).toBe(process.pid);
      expect(self.start).not.toBe('');
      expect(processes.identify(process.pid)).toEqual(self);
    });

    test('a number that is no process has no identity', async () => {
      const [command, ...args] = exitWith(0);
      const { pid } = await untilOver(command, args);
      for (const number of [pid, 0, -1, 1.5, 0x7fff_fffe]) {
        expect(processes.identify(number)).toBeUndefined();
      }
    });

    test('the command line of a child is readable word by word', async () => {
      const args = [fixture('wait-for-ever'), 'two words', 'a "quote"', ''];
      const running = new RunningChild(platform, { command: process.execPath, args });
      await running.line();
      expect(processes.commandLine(running.child.pid)).toEqual([process.execPath, ...args]);
    });

    test('a process whose number was reused is left alone', async () => {
      const running = runFixture(platform, 'wait-for-ever');
      await running.line();
      const identity = processes.identify(running.child.pid);
      if (identity === undefined) {
        throw new Error('the child has no identity');
      }
      const stale = { ...identity, start: String(BigInt(identity.start) - 1n) };
      expect(processes.signalIfSame(stale, 'KILL')).toBe('gone');
      expect(processes.identify(running.child.pid)).toEqual(identity);
      expect(processes.signalIfSame(identity, 'KILL')).toBe('sent');
      await running.over();
      expect(processes.signalIfSame(identity, 'KILL')).toBe('gone');
    });
  });

  /** Runs a child to its end without keeping anything for the end of the test. */
  async function untilOver(command: string, args: readonly string[]): Promise<{ pid: number; code: number }> {
    let open = 3;
    const child = await new Promise<ReturnType<typeof processes.spawn>>((resolve) => {
      const oneLess = () => {
        if (--open === 0) {
          setImmediate(() => resolve(started));
        }
      };
      const started = processes.spawn({
        command,
        args,
        cwd: undefined,
        env: currentEnvironment(),
        maxChunkBytes,
        onOutput: () => true,
        onOutputEnd: oneLess,
        onEnd: oneLess,
      });
    });
    child.closeInput();
    return { pid: child.pid, code: child.collect().code };
  }

  async function endStranger(pid: number): Promise<void> {
    const identity = processes.identify(pid);
    if (identity !== undefined) {
      processes.signalIfSame(identity, 'KILL');
    }
    await untilGone(pid);
  }
}
