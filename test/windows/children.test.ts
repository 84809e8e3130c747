/** What only Windows has about children: jobs, batch files, the environment block (spec platform.md §3, process.md §6). */
import { spawn as spawnNode } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import { joinWords } from '../../platform/win32/command-line.ts';
import { environmentBlock } from '../../platform/win32/environment.ts';
import { openNullDevice } from '../../platform/win32/handles.ts';
import { createPlatform } from '../../platform/win32/index.ts';
import { launchInJob } from '../../platform/win32/launch-in-job.ts';
import { openPipe, type Pipe } from '../../platform/win32/pipes.ts';
import { WindowsError } from '../../platform/win32/system-errors.ts';
import { whenSignalled } from '../../platform/win32/wait.ts';
import { fixture } from '../platform/fixture.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { currentEnvironment, RunningChild, runFixture } from '../platform/running-child.ts';
import { waitUntil } from '../support/wait.ts';
import { countHandles } from './handle-count.ts';

const platform = createPlatform();
const { processes } = platform;
const untilGone = (pid: number) =>
  waitUntil(() => processes.identify(pid) === undefined || undefined, `process ${pid} to be gone`);

/** A program that uses the adapter as a daemon does, in a process of its own that a test can end. */
function startFixture(name: string, args: readonly string[]): { readonly pid: number; line(): Promise<string> } {
  const file = fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url));
  const child = spawnNode(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  onTestFinished(() => {
    child.kill();
  });
  return {
    pid: child.pid ?? 0,
    line: () => waitUntil(() => /^(.*?)\r?\n/.exec(text)?.[1], `a line of ${name}`),
  };
}

function kill(pid: number): void {
  const identity = processes.identify(pid);
  if (identity !== undefined) {
    processes.signalIfSame(identity, 'KILL');
  }
}

describe('the end of a daemon', () => {
  test('that is terminated takes every child and grandchild with it', async () => {
    const daemon = startFixture('own-a-family', []);
    const family: number[] = JSON.parse(await daemon.line());
    expect(family).toHaveLength(4);
    for (const pid of family) {
      expect(processes.identify(pid)).toBeDefined();
    }
    kill(daemon.pid);
    for (const pid of family) {
      await untilGone(pid);
    }
  });

  test('leaves the children that are to outlive it', async () => {
    const daemon = startFixture('own-a-family', ['outlives']);
    const family: number[] = JSON.parse(await daemon.line());
    kill(daemon.pid);
    await untilGone(daemon.pid);
    for (const pid of family) {
      expect(processes.identify(pid)).toBeDefined();
    }
    for (const pid of family) {
      kill(pid);
    }
    for (const pid of family) {
      await untilGone(pid);
    }
  });

  test('takes what a child left behind long ago', async () => {
    const daemon = startFixture('collect-a-child-that-left-one', []);
    const grandchild = Number(await daemon.line());
    expect(processes.identify(grandchild)).toBeDefined();
    kill(daemon.pid);
    await untilGone(grandchild);
  });
});

describe('signals', () => {
  test.each(['TERM', 'INT', 'HUP'] as const)('%s ends the tree where the profile says so', async (name) => {
    const running = runFixture(platform, 'start-a-grandchild', [], { gentleScope: 'tree' });
    const grandchild = Number(await running.line());
    running.child.signal(name, 'child');
    expect(await running.over()).toEqual({ code: 1, signal: undefined });
    await untilGone(grandchild);
  });

  test('KILL ends the tree in every profile', async () => {
    const running = runFixture(platform, 'start-a-grandchild', ['keep'], { gentleScope: 'child' });
    const grandchild = Number(await running.line());
    running.child.signal('KILL', 'tree');
    expect(await running.over()).toEqual({ code: 1, signal: undefined });
    await untilGone(grandchild);
  });

  test('a kill still reaches what holds the output of a child that has ended', async () => {
    const running = runFixture(platform, 'start-a-grandchild', ['keep', 'leave']);
    const grandchild = Number(await running.line());
    await running.ended();
    running.child.signal('KILL', 'tree');
    expect(await running.over()).toEqual({ code: 0, signal: undefined });
    await untilGone(grandchild);
  });
});

describe('exit codes', () => {
  test.each([0xc0000005, 0xffffffff, 256])('all 32 bits of %i arrive, without a sign', async (code) => {
    const running = new RunningChild(platform, {
      command: process.execPath,
      args: ['-e', `process.reallyExit(${code | 0})`],
    });
    expect(await running.over()).toEqual({ code, signal: undefined });
  });
});

describe('the environment of a child', () => {
  async function variablesOf(env: readonly (readonly [string, string])[]): Promise<[string, string][]> {
    const running = runFixture(platform, 'print-what-i-got', [], { env });
    await running.over();
    return Object.entries(JSON.parse(running.text('stdout')).env as Record<string, string>);
  }

  test('is sorted by name, whatever the case', () => {
    // As it is handed over: Wine adds variables of its own to what the child then sees.
    const block = environmentBlock([
      ['b', '2'],
      ['_', '3'],
      ['A', '1'],
      ['aB', '4'],
      ['SYSTEMROOT', 'C:\\Windows'],
      ['C', '=5'],
    ]).toString('utf16le');
    expect(block).toBe('A=1\0aB=4\0b=2\0C==5\0SYSTEMROOT=C:\\Windows\0_=3\0\0');
  });

  test("has one entry per name: the last one, in the caller's spelling", async () => {
    const got = await variablesOf([...currentEnvironment(), ['Some_Name', 'old'], ['SOME_NAME', 'new']]);
    expect(got.filter(([name]) => name.toUpperCase() === 'SOME_NAME')).toEqual([['SOME_NAME', 'new']]);
  });

  test('says PATH, however the variable was spelled', async () => {
    const got = await variablesOf([...currentEnvironment(), ['Path', 'C:\\somewhere']]);
    expect(got.filter(([name]) => name.toUpperCase() === 'PATH')).toEqual([['PATH', 'C:\\somewhere']]);
  });

  test('always has what the system itself needs', async () => {
    const got = await variablesOf([['ONLY', 'this']]);
    expect(got.map(([name]) => name.toUpperCase())).toContain('SYSTEMROOT');
  });
});

describe('finding a program', () => {
  function withPath(folder: string): void {
    const before = process.env.PATH;
    process.env.PATH = `${folder};${before}`;
    onTestFinished(() => {
      process.env.PATH = before;
    });
  }

  test('a bare name gets its ending from PATHEXT', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'tool.cmd'), '@echo found %1\r\n');
    withPath(folder);
    const running = new RunningChild(platform, { command: 'tool', args: ['it'] });
    expect((await running.over()).code).toBe(0);
    expect(running.text('stdout')).toBe('found it\r\n');
  });

  test('a program in the folder of the session is not found by its bare name', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'git.exe'), '');
    const before = process.cwd();
    process.chdir(folder);
    onTestFinished(() => process.chdir(before));
    const env = process.env.PATH;
    process.env.PATH = 'relative\\folder;';
    onTestFinished(() => {
      process.env.PATH = env;
    });
    expect(() => new RunningChild(platform, { command: 'git', cwd: folder })).toThrow(
      'exec: "git": executable file not found in %PATH%',
    );
  });

  test('a relative path counts from the folder of the session', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'tool.cmd'), '@echo found\r\n');
    const running = new RunningChild(platform, { command: 'bin\\tool.cmd', cwd: folder });
    await running.over();
    expect(running.text('stdout')).toBe('found\r\n');
  });

  test("a file that is no program is refused with the system's sentence", () => {
    const file = join(temporaryFolder(), 'text.exe');
    writeFileSync(file, 'no program');
    expect(() => new RunningChild(platform, { command: file })).toThrow(
      `fork/exec ${file}: %1 is not a valid Win32 application.`,
    );
  });
});

describe('a batch file', () => {
  const dangerous = ['&', '|', '<', '>', '^', '"', '" & echo injected & "', '%PATH%', '%', '!x!', '(a)', 'a b', ''];

  function batch(): string {
    const file = join(temporaryFolder(), 'a script.cmd');
    // Hands its words on untouched, so that the receiver shows what arrived.
    writeFileSync(file, `@"%NODE_FOR_TEST%" -e "console.log(JSON.stringify(process.argv.slice(1)))" -- %*\r\n`);
    return file;
  }

  test('cannot be made to run something else by what is in its arguments', async () => {
    const command = batch();
    for (const word of dangerous) {
      const running = new RunningChild(platform, {
        command,
        args: [word, 'end'],
        env: [...currentEnvironment(), ['NODE_FOR_TEST', process.execPath]],
      });
      await running.over();
      const output = running.text('stdout');
      expect([word, output.includes('injected') && !output.includes('& echo injected')]).toEqual([word, false]);
      expect([word, output.trim().split('\n').length]).toEqual([word, 1]);
    }
  });

  test('is refused arguments that cannot be carried', () => {
    const command = batch();
    expect(() => new RunningChild(platform, { command, args: ['line\nbreak'] })).toThrow(
      `fork/exec ${command}: invalid argument`,
    );
  });
});

test('a batch file is refused more than cmd.exe can read, with both numbers', async () => {
  const command = join(temporaryFolder(), 'shim.cmd');
  writeFileSync(command, '@exit 0\r\n');
  const fits = new RunningChild(platform, { command, args: ['x'.repeat(7_900)] });
  await fits.over();
  expect(() => new RunningChild(platform, { command, args: ['x'.repeat(8_192)] })).toThrow(
    /^fork\/exec .*shim\.cmd: the command line has 8\d{3} characters, and cmd\.exe, which runs batch files, takes 8191 at most/,
  );
});

/** fixtures/exit-with.c, as run.sh compiles it. */
const exitWith = fileURLToPath(new URL('../../dist/exit-with.exe', import.meta.url));

test('500 children beside each other, with jobs in jobs and without, leave no handle open', async () => {
  const run = async (count: number, outlivesUs: boolean) => {
    // Every tenth is a program with a console, which the system makes for it.
    const command = (code: number) =>
      code % 10 === 0
        ? { command: 'cmd.exe', args: ['/d', '/c', 'exit', `${code}`] }
        : { command: exitWith, args: [`${code}`] };
    // All are started before the first of them is looked at again, so all have their handles at the same time.
    const some = Array.from(
      { length: count },
      (_, code) => new RunningChild(platform, { ...command(code), outlivesUs }),
    );
    const codes = await Promise.all(some.map(async (running) => (await running.over()).code));
    expect(codes).toEqual(some.map((_, code) => code));
    for (const { child } of some) {
      child.closeOutput();
      child.closeInput();
    }
  };
  await run(25, false);
  await run(25, true);
  const before = countHandles();
  await run(250, false);
  await run(250, true);
  await waitUntil(() => countHandles() <= before + 3 || undefined, 'every handle to be closed');
}, 300_000);

describe('Ctrl+C', () => {
  const child = fileURLToPath(new URL('./fixtures/print-console-flags.ts', import.meta.url));

  /** @returns whether a child of a detached daemon ignores Ctrl+C */
  async function childIgnores(): Promise<boolean> {
    const daemon = platform.host.detach({
      file: process.execPath,
      args: [fixture('detached-program'), 'run', child],
      env: currentEnvironment(),
      logFd: undefined,
      secret: undefined,
      statusVariable: 'TEST_STATUS',
      secretVariable: 'TEST_SECRET',
    });
    onTestFinished(async () => {
      kill(daemon.pid);
      await untilGone(daemon.pid);
      daemon.release();
    });
    let text = '';
    for await (const piece of daemon.status) {
      text += String(piece);
    }
    return JSON.parse(text) === '1\n';
  }

  test('reaches the children of a daemon', async () => {
    expect(await childIgnores()).toBe(false);
  });

  test('reaches them also when whoever started the daemon was told to ignore it', async () => {
    kernel32.SetConsoleCtrlHandler(null, 1);
    onTestFinished(() => void kernel32.SetConsoleCtrlHandler(null, 0));
    expect(await childIgnores()).toBe(false);
  });
});

/** A Node that runs a script, started as the adapter does but with none of its streams. */
function launchAlone(script: string, makeJob?: () => never) {
  const nothing = openNullDevice();
  try {
    return launchInJob(
      {
        file: process.execPath,
        commandLine: joinWords([process.execPath, '-e', script]),
        env: currentEnvironment(),
        cwd: undefined,
        input: nothing,
        output: nothing,
        errors: nothing,
        inherited: [],
        flags: kernel32.CREATE_NO_WINDOW,
      },
      { outlivesUs: false },
      makeJob,
    );
  } finally {
    kernel32.CloseHandle(nothing);
  }
}

function exitCodeOf(handle: kernel32.Handle): number {
  const code: Out<number> = [0];
  kernel32.GetExitCodeProcess(handle, code);
  return code[0];
}

test('a child whose wake-up fails is not told as ended, with code 259, while it runs; its end is told, and no handle is left', async () => {
  const before = countHandles();
  const started = launchAlone('setInterval(() => {}, 60_000)');
  onTestFinished(() => kill(started.pid));
  let wakePipe: Pipe | undefined;
  let isTold = false;
  const told = (): void => {
    isTold = true;
  };
  whenSignalled(started.process, told, (direction) => {
    wakePipe = openPipe(direction);
    return wakePipe;
  });
  // The read that the end would have answered fails instead.
  await waitUntil(() => {
    const failed = wakePipe !== undefined && kernel32.CancelIoEx(wakePipe.ours, 0n) !== 0;
    return failed || undefined;
  }, 'the read of the pipe to fail');
  expect([isTold, exitCodeOf(started.process)]).toEqual([false, 259]);
  kernel32.TerminateProcess(started.process, 7);
  await waitUntil(() => isTold || undefined, 'the end to be told');
  expect(exitCodeOf(started.process)).toBe(7);
  kernel32.CloseHandle(started.process);
  if (started.job !== undefined) {
    kernel32.CloseHandle(started.job);
  }
  await waitUntil(() => countHandles() <= before + 3 || undefined, 'every handle to be closed');
});

describe('a child for which no job can be had', () => {
  test('runs all the same, alone, and the reason is told', async () => {
    const started = launchAlone('process.exit(5)', () => {
      throw new WindowsError('CreateJobObject', kernel32.ERROR_ACCESS_DENIED);
    });
    expect(started.job).toBeUndefined();
    expect(started.warning).toBe(
      'no job object for it (CreateJobObject: Access is denied.): a kill reaches the process itself only',
    );
    await new Promise<void>((resolve) => whenSignalled(started.process, resolve));
    expect(exitCodeOf(started.process)).toBe(5);
    kernel32.CloseHandle(started.process);
  });
});
