/**
 * What every engine promises about `process.*` and the extensions (src/engine/session-engine.ts; spec process.md,
 * extensions.md §2), with real children. Readers are played by the test; nothing here knows how an engine is built.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Timings } from '../../src/base/timings.ts';
import type {
  EndRequest,
  MaybePromise,
  Opened,
  ReaderRole,
  SessionEngine,
  SessionEvent,
  SessionInfo,
  SpawnRequest,
} from '../../src/engine/session-engine.ts';
import type { Profile } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { fixture } from '../support/fixtures.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { failureOf, TestReader } from './test-reader.ts';

export interface EngineSettings {
  readonly profile: Profile;
  /** Timers other than the product's. */
  readonly timings: Partial<Timings>;
  readonly slowReader: 'pace' | 'drop';
  /** What the login shell says becomes known when it resolves; every spawn waits for that. */
  readonly shellPath: Promise<void> | undefined;
  /** Bytes held for all together; 0: no limit. */
  readonly memoryBudget: number;
}

export type CreateEngine = (settings: EngineSettings) => MaybePromise<SessionEngine>;

const profiles = ['S', 'current', 'next'] as const;
type ProfileName = (typeof profiles)[number];

const mebibyte = 1024 * 1024;
/** What an engine keeps of a process, and holds for its stdin. */
const windowBytes = 16 * mebibyte;

const terminate: EndRequest = { how: 'signal', signal: 'TERM' };

function killAndWait(more: { graceMs?: bigint; escalate?: boolean } = {}): EndRequest {
  return { how: 'signalAndWait', signal: 'TERM', graceMs: undefined, escalate: true, ...more };
}

/** One client with its requests; `reader` has what came for it. */
class Asker {
  readonly engine: SessionEngine;
  readonly reader = new TestReader();

  constructor(engine: SessionEngine) {
    this.engine = engine;
  }

  spawn(id: string, command: string, args: readonly string[] = [], more: Partial<SpawnRequest> = {}): Promise<Opened> {
    return this.reader.ask(`spawn ${id}`, this.engine.spawn(request(id, command, args, more), this.reader));
  }

  attach(id: string, fromSeq = 0, role: ReaderRole = 'receiver'): Promise<Opened | undefined> {
    return this.reader.ask(`attach ${id}`, this.engine.attach(id, BigInt(fromSeq), this.reader, role));
  }

  async input(id: string, text: string | Buffer, offset?: number | bigint) {
    return this.engine.input(id, Buffer.from(text), offset === undefined ? undefined : BigInt(offset));
  }

  async closeInput(id: string, offset: number) {
    return this.engine.closeInput(id, BigInt(offset));
  }

  end(id: string, how: EndRequest) {
    return this.reader.ask(`end ${id}`, this.engine.end(id, how, this.reader));
  }
}

function request(
  id: string,
  command: string,
  args: readonly string[] = [],
  more: Partial<SpawnRequest> = {},
): SpawnRequest {
  return {
    id,
    command,
    args,
    cwd: undefined,
    env: undefined,
    withoutShellAgent: false,
    ifAbsent: undefined,
    door: undefined,
    launcher: undefined,
    ...more,
  };
}

const shell = (script: string, ...args: string[]): [string, string[]] => ['sh', ['-c', script, ...args]];
/** Says "ready", and is not impressed by a polite signal. */
const stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done");
/** Numbers, one a line, about fifty a second. */
const counting = shell('i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done');

function facts(pid: number): ProcessFacts {
  const found = processFacts(pid);
  if (found === undefined) {
    throw new Error(`there is no process ${pid}`);
  }
  return found;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

export function sessionEngineContract(createEngine: CreateEngine): void {
  async function start(profile: ProfileName, settings: Partial<Omit<EngineSettings, 'profile'>> = {}) {
    const engine = await createEngine({
      profile: profileNamed(profile) as Profile,
      timings: {},
      slowReader: 'pace',
      shellPath: undefined,
      memoryBudget: 0,
      ...settings,
    });
    onTestFinished(async () => {
      const running = (await engine.sessions()).filter(({ state }) => state === 'running');
      // One may have ended since the list was made.
      const left = running.flatMap(({ pid }) => processFacts(pid) ?? []);
      await engine.close('end');
      for (const target of left) {
        signalProcess(target, 'SIGKILL');
      }
    });
    return { engine, client: new Asker(engine), other: new Asker(engine) };
  }

  function folder(): string {
    const path = mkdtempSync('/tmp/hf-');
    onTestFinished(() => removeFolder(path));
    return path;
  }

  describe.each(profiles)('profile %s: a spawn', (profile) => {
    test('is answered before its first frame, however late the answer is given', async () => {
      const { engine, client } = await start(profile);
      const { mark, pid } = await engine.spawn(request('p', ...shell('echo out; echo err >&2; exit 3')), client.reader);
      await waitUntil(() => processFacts(pid) === undefined, 'the process to be over');
      expect(client.reader.got).toEqual([]);
      client.reader.reply(mark, 'spawn');
      await client.reader.untilExit('p');
      const { got } = client.reader;
      expect(got.slice(0, 1)).toEqual(['reply spawn']);
      expect(
        got
          .slice(1, 3)
          .map((entry) => entry.replace(/\d /, ''))
          .sort(),
      ).toEqual(['p stderr err', 'p stdout out']);
      expect(got.slice(3)).toEqual(['p exit 3 code 3']);
    });

    test('tells the pid and the start time that later answers tell too', async () => {
      const { client } = await start(profile);
      const spawned = await client.spawn('p', 'cat');
      const attached = await client.attach('p');
      const { pid, startTime, existing, running, firstSeq, lastSeq, stdinApplied } = spawned;
      expect(isRunning(facts(pid))).toBe(true);
      expect({ existing, running, firstSeq, lastSeq, stdinApplied }).toEqual({
        existing: false,
        running: true,
        firstSeq: 0,
        lastSeq: 0,
        stdinApplied: 0,
      });
      expect([attached?.pid, attached?.startTime]).toEqual([pid, startTime]);
    });

    test('that cannot work says why in the words of the system, and leaves nothing behind', async () => {
      const { engine, client } = await start(profile);
      const dir = folder();
      const file = join(dir, 'file');
      writeFileSync(file, 'text', { mode: 0o600 });
      const none = join(dir, 'none');
      const attempts: [string, string, Partial<SpawnRequest>][] = [
        [`chdir ${none}: stat ${none}: no such file or directory`, 'sh', { cwd: none }],
        [`chdir ${file}: not a directory`, 'sh', { cwd: file }],
        ['exec: "no-such-program": executable file not found in $PATH', 'no-such-program', {}],
        [`fork/exec ${none}: no such file or directory`, none, {}],
        [`fork/exec ${file}: permission denied`, file, {}],
        ['exec: environment variable contains NUL', 'sh', { env: [['A', 'a\0b']] }],
      ];
      for (const [text, command, more] of attempts) {
        expect.soft(await failureOf(() => client.spawn('p', command, [], more))).toBe(text);
      }
      expect(await engine.sessions()).toEqual([]);
      expect(await failureOf(() => client.input('p', 'x'))).toBe('processNotFound');
      expect([client.reader.got, client.reader.told]).toEqual([[], []]);
    });

    test('through a launcher starts that one with the command behind its words, and a refusal keeps its kind and words', async () => {
      const { client } = await start('next');
      await client.spawn('p', '/bin/echo', ['below'], { launcher: ['/usr/bin/env', 'A=1'] });
      await client.reader.untilOutput('p', 'below');
      // An engine may refuse at once.
      const refused = async () => client.spawn('q', 'echo', [], { launcher: ['/usr/bin/env'] });
      await expect(refused()).rejects.toMatchObject({
        name: 'LauncherFailure',
        kind: 'relativeCommand',
        message: 'command must be an absolute path when a launcher is given',
      });
    });

    test('under the id of an ended process starts over: numbers, window and counted input', async () => {
      const { client } = await start(profile);
      await client.spawn('p', ...shell('cat; echo first'));
      await client.input('p', 'hello\n');
      await client.closeInput('p', 6);
      await client.reader.untilExit('p');
      client.reader.frames.clear();
      expect(await client.spawn('p', 'cat')).toMatchObject({ existing: false, lastSeq: 0, stdinApplied: 0 });
      expect(await client.input('p', 'again\n', 0)).toEqual({ applied: 6, duplicate: false });
      await client.reader.untilOutput('p', 'again\n');
      expect(client.reader.seqs('p')).toEqual([1]);
    });

    test('that fails leaves the process that has the id as it was', async () => {
      const { client } = await start(profile);
      const { pid } = await client.spawn('p', 'cat');
      expect(await failureOf(() => client.spawn('p', '/nonexistent'))).toMatch(/^fork\/exec/);
      await client.input('p', 'still here\n');
      await client.reader.untilOutput('p', 'still here');
      expect(isRunning(facts(pid))).toBe(true);
      expect(client.reader.told).toEqual(['attached p']);
    });

    test('after the engine was closed is refused', async () => {
      const { engine, client } = await start(profile);
      await engine.close('keep');
      expect(await failureOf(() => client.spawn('p', 'cat'))).toBe('the daemon is shutting down');
      expect(await engine.sessions()).toEqual([]);
    });
  });

  describe.each(['S', 'current'] as const)('profile %s: a spawn under the id of a running process', (profile) => {
    test('takes it from its reader at once and kills it with its group', async () => {
      const { engine, client, other } = await start(profile);
      const { pid } = await client.spawn('p', ...shell('sleep 3600 & echo $!; while :; do echo x; sleep 0.01; done'));
      await client.reader.untilOutput('p', 'x');
      const family = [facts(pid), facts(Number(client.reader.output('p').split('\n')[0]))];
      const observer = new Asker(engine);
      await observer.attach('p', 0, 'observer');
      await other.spawn('p', 'cat');
      const { length } = client.reader.got;
      expect(client.reader.told).toEqual(['attached p', 'over p']);
      expect(observer.reader.told).toEqual(['attached p', 'over p']);
      for (const member of family) {
        await untilEnded(member);
      }
      await waitUntil(async () => (await engine.sessions()).length === 1, 'the old one to be collected');
      expect(client.reader.got).toHaveLength(length);
      await other.input('p', 'new\n');
      await other.reader.untilOutput('p', 'new\n');
      expect(other.reader.seqs('p')).toEqual([1]);
    });
  });

  describe('profile next: a spawn under the id of a running process', () => {
    test('leaves it to its reader, to its own exit frame; every request reaches the new one', async () => {
      const { engine, client, other } = await start('next');
      const { pid } = await client.spawn('p', ...counting);
      await client.reader.untilOutput('p', '3\n');
      await other.spawn('p', 'cat');
      await client.input('p', 'for the new one\n');
      await other.reader.untilOutput('p', 'for the new one');
      const observer = new Asker(engine);
      expect(await observer.attach('p', 0, 'observer')).toMatchObject({ lastSeq: 1, stdinApplied: 16 });
      const told = async () => (await engine.sessions()).map(({ pid: each, replaced }) => [each === pid, replaced]);
      expect(await told()).toEqual([
        [true, true],
        [false, false],
      ]);
      const { length } = client.reader.seqs('p');
      await waitUntil(() => client.reader.seqs('p').length > length + 3, 'more frames of the old one');
      signalProcess(facts(pid), 'SIGKILL');
      await client.reader.untilExit('p');
      expect(client.reader.seqs('p')).toEqual(range(1, client.reader.lastSeq('p')));
      expect(client.reader.told).toEqual(['attached p']);
      await waitUntil(async () => (await told()).length === 1, 'the old one to be forgotten');
      expect(await told()).toEqual([[false, false]]);
    });

    test('is killed alone when the id is, and leaves an observer of both able to end with both', async () => {
      const { engine, client, other } = await start('next');
      const { pid } = await client.spawn('p', ...counting);
      await other.attach('p', 0, 'observer');
      await client.spawn('p', 'cat');
      await other.attach('p', 0, 'observer');
      expect(await client.end('p', killAndWait())).toMatchObject({ found: true, died: true });
      expect(isRunning(facts(pid))).toBe(true);
      expect(await engine.unobserve('p', other.reader)).toBe(true);
      expect(other.reader.told).toEqual(['attached p', 'attached p', 'over p', 'over p']);
    });
  });

  describe('a second process of one agent session', () => {
    const session = (key = 'k') => ['--output-format=stream-json', '--session-id', key];
    const waiting = 'echo ready; exec sleep 3600';
    const stubbornScript = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    const agent = (script: string, words = session()): [string, string[]] => shell(script, 'agent', ...words);
    const later = ['current', 'next'] as const;

    test('leaves the first alone in profile S', async () => {
      const { client } = await start('S');
      const { pid } = await client.spawn('old', ...agent(waiting));
      await client.spawn('new', ...agent(waiting));
      expect(isRunning(facts(pid))).toBe(true);
    });

    test.each(later)('ends the first in profile %s, whose own client gets its exit frame', async (profile) => {
      const { engine, client, other } = await start(profile);
      await client.spawn('old', ...agent(waiting));
      const { pid } = await other.spawn('new', ...agent(waiting));
      await client.reader.untilExit('old');
      expect(client.reader.raw('old').at(-1)).toMatch(/"exitCode":-1,"signal":"SIGTERM","killedBy":"client"}$/);
      expect(isRunning(facts(pid))).toBe(true);
      expect((await engine.sessions()).map(({ id, state }) => `${id} ${state}`)).toEqual(['old exited', 'new running']);
    });

    test.each(later)('kills a first that does not end when asked in profile %s', async (profile) => {
      const { client } = await start(profile, { timings: { supersedeGraceMs: 100 } });
      await client.spawn('old', ...agent(stubbornScript));
      await client.reader.untilOutput('old', 'ready');
      await client.spawn('new', ...agent(waiting));
      await client.reader.untilExit('old');
      expect(client.reader.raw('old').at(-1)).toContain('"signal":"SIGKILL","killedBy":"client"');
    });

    test.each(later)(
      'is known by --resume as well in profile %s, but a fork is a session of its own',
      async (profile) => {
        const { client } = await start(profile);
        const { pid } = await client.spawn('old', ...agent(waiting));
        await client.spawn('fork', ...agent(waiting, ['stream-json', '--resume', 'k', '--fork-session']));
        await client.spawn('other', ...agent(waiting, session('another')));
        await client.spawn('plain', ...agent(waiting, ['--session-id', 'k']));
        expect(isRunning(facts(pid))).toBe(true);
        await client.spawn('resumed', ...agent(waiting, ['--input-format=stream-json', '--resume=k']));
        await client.reader.untilExit('old');
        expect(['fork', 'other', 'plain'].map((id) => client.reader.placeOf(`${id} exit`))).toEqual([-1, -1, -1]);
      },
    );

    test.each(later)('under the same id is a matter of the id in profile %s', async (profile) => {
      const { client } = await start(profile);
      const { pid } = await client.spawn('same', ...agent(waiting));
      const old = facts(pid);
      expect(await client.spawn('same', ...agent(waiting))).toMatchObject({ existing: false });
      if (profile === 'next') {
        expect(isRunning(old)).toBe(true);
      } else {
        await untilEnded(old);
      }
    });

    test.each(later)('and many more at once leave exactly one in profile %s', async (profile) => {
      const { engine, client } = await start(profile);
      const ids = ['a', 'b', 'c', 'd', 'e'];
      await Promise.all(ids.map((id) => client.spawn(id, ...agent(waiting))));
      await Promise.all(ids.slice(0, -1).map((id) => client.reader.untilExit(id)));
      expect(engine.runningCount).toBe(1);
      expect(await client.attach('e')).toMatchObject({ running: true });
    });

    test('does not wait for the end of the first in profile current', async () => {
      const { client } = await start('current', { timings: { supersedeGraceMs: 600_000 } });
      const { pid } = await client.spawn('old', ...agent(stubbornScript));
      await client.reader.untilOutput('old', 'ready');
      await client.spawn('new', ...agent(waiting));
      expect(isRunning(facts(pid))).toBe(true);
    });

    test('starts and is answered after the exit frame of the first in profile next', async () => {
      const { client } = await start('next', { timings: { supersedeGraceMs: 100 } });
      await client.spawn('old', ...agent(stubbornScript));
      await client.reader.untilOutput('old', 'ready');
      await client.spawn('new', ...agent('echo new; exec sleep 3600'));
      await client.reader.untilOutput('new', 'new');
      const places = ['old exit', 'reply spawn new', 'new stdout'].map((text) => client.reader.placeOf(text));
      expect(places).toEqual(places.toSorted((a, b) => a - b));
      expect(places[0]).toBeGreaterThan(0);
    });

    test('starts also when the client of the first does not read, and keeps its place for the answer', async () => {
      const { engine, client, other } = await start('next');
      await client.spawn('old', ...agent(waiting));
      await client.reader.untilOutput('old', 'ready');
      client.reader.hold();
      const { pid } = await client.spawn('new', ...agent('echo new; exec sleep 3600'));
      expect(isRunning(facts(pid))).toBe(true);
      const written = async () => (await engine.sessions()).some(({ id, outBytes }) => id === 'new' && outBytes > 0);
      await waitUntil(async () => (await written()) || undefined, 'the new one to write');
      await other.spawn('newest', ...agent('echo newest; exec sleep 3600'));
      await other.reader.untilOutput('newest', 'newest');
      client.reader.goOn();
      await client.reader.untilExit('new');
      const order = client.reader.got.filter((entry) => /^(old exit|reply spawn new|new )/.test(entry));
      expect(order.map((entry) => entry.split(' ').slice(0, 2).join(' '))).toEqual([
        ...['old exit', 'reply spawn', 'new stdout', 'new exit'],
      ]);
    });

    describe.each<[why: string, command: string, more: Partial<SpawnRequest>]>([
      ['for want of its folder', 'sh', { cwd: '/nonexistent' }],
      ['for want of its program', '/nonexistent', {}],
      ['for want of its name in PATH', 'no-such-program', {}],
    ])('that cannot start %s', (_, command, more) => {
      test('leaves the first alone in profile next', async () => {
        const { client } = await start('next');
        const { pid } = await client.spawn('old', ...agent(waiting));
        expect(await failureOf(() => client.spawn('new', command, session(), more))).toMatch(
          /^(chdir|fork\/exec|exec:)/,
        );
        expect(isRunning(facts(pid))).toBe(true);
      });

      test('has ended the first in profile current', async () => {
        const { client } = await start('current');
        await client.spawn('old', ...agent(waiting));
        expect(await failureOf(() => client.spawn('new', command, session(), more))).toBeDefined();
        await client.reader.untilExit('old');
      });
    });
  });

  describe.each(profiles)('profile %s: ifAbsent', (profile) => {
    const ifAbsent = { fromSeq: 0n };

    test('starts a process whose id is not known', async () => {
      const { client } = await start(profile);
      expect(await client.spawn('p', 'cat', [], { ifAbsent })).toMatchObject({ existing: false, running: true });
    });

    test('attaches to a process that runs, from any frame', async () => {
      const { client, other } = await start(profile);
      const { pid } = await client.spawn('p', 'cat');
      for (const line of ['one\n', 'two\n']) {
        await client.input('p', line);
        await client.reader.untilOutput('p', line);
      }
      const again = await other.spawn('p', 'cat', [], { ifAbsent: { fromSeq: 1n } });
      expect(again).toMatchObject({ existing: true, running: true, pid, firstSeq: 1, lastSeq: 2, stdinApplied: 8 });
      await other.reader.until('reply');
      expect(other.reader.got).toEqual(['p stdout 2 two', 'reply spawn p']);
      expect(client.reader.told).toContain('replaced p');
    });

    test('replays a process that has ended', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', ...shell('echo once; exit 4'));
      await client.reader.untilExit('p');
      client.reader.got.length = 0;
      expect(await client.spawn('p', 'cat', [], { ifAbsent })).toMatchObject({ existing: true, running: false });
      await client.reader.until('reply');
      expect(client.reader.got).toEqual(['p stdout 1 once', 'p exit 2 code 4', 'reply spawn p']);
      expect(await engine.sessions()).toHaveLength(1);
    });

    test('asked by many at once starts exactly one', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { engine } = await start(profile, { shellPath: promise });
      const askers = Array.from({ length: 8 }, () => new Asker(engine));
      const asked = askers.map((asker) => asker.spawn('p', 'cat', [], { ifAbsent }));
      resolve();
      const opened = await Promise.all(asked);
      expect(new Set(opened.map(({ pid }) => pid)).size).toBe(1);
      expect(opened.map(({ existing }) => existing)).toEqual([false, ...askers.slice(1).map(() => true)]);
      expect(engine.runningCount).toBe(1);
    });
  });

  describe.each(profiles)('profile %s: input', (profile) => {
    test('is counted, repeated and refused by its offset, and the child gets each byte once', async () => {
      const { client } = await start(profile);
      await client.spawn('p', 'cat');
      const most = 2n ** 64n - 1n;
      const rows: [text: string, offset: number | bigint | undefined, outcome: object | string][] = [
        ['AAA\n', undefined, { applied: 4, duplicate: false }],
        ['BBB\n', 4, { applied: 8, duplicate: false }],
        ['DUP\n', 4, { applied: 8, duplicate: true }],
        ['PART\n', 6, { applied: 11, duplicate: false }],
        ['GAP\n', 99, 'stdinGap'],
        ['GAP\n', most, 'stdinGap'],
        ['', undefined, { applied: 11, duplicate: false }],
        ['', 11, { applied: 11, duplicate: false }],
        ['', 3, { applied: 11, duplicate: true }],
      ];
      for (const [text, offset, outcome] of rows) {
        const failure = typeof outcome === 'string';
        const call = client.input('p', text, offset);
        expect.soft(failure ? await failureOf(() => call) : await call).toEqual(outcome);
      }
      await client.closeInput('p', 11);
      await client.reader.untilExit('p');
      expect(client.reader.output('p')).toBe('AAA\nBBB\nRT\n');
    });

    test('for an unknown process says so', async () => {
      const { client } = await start(profile);
      expect(await failureOf(() => client.input('nobody', 'x'))).toBe('processNotFound');
      expect(await failureOf(() => client.closeInput('nobody', 0))).toBe('processNotFound');
    });

    test('for an ended process looks at the offset first, unless the profile is S', async () => {
      const { client } = await start(profile);
      await client.spawn('p', ...shell('read line'));
      await client.input('p', 'go\n');
      await client.reader.untilExit('p');
      const outcomes = [
        await client.input('p', 'go\n', 0).catch(({ kind }) => kind),
        await failureOf(() => client.input('p', 'x', 99)),
        await failureOf(() => client.input('p', 'x')),
        await failureOf(() => client.input('p', '')),
      ];
      const notRunning = 'processNotRunning';
      expect(outcomes).toEqual(
        profile === 'S'
          ? [notRunning, notRunning, notRunning, notRunning]
          : [{ applied: 3, duplicate: true }, 'stdinGap', notRunning, notRunning],
      );
    });
  });

  describe('input that the child does not read', () => {
    const piece = Buffer.alloc(mebibyte, 'x');
    /** With what a pipe takes besides. */
    const tooMany = windowBytes / piece.length + 2;
    /** Reads when it is told to, and says how much that was. */
    const deaf = shell('trap "go=1" USR1; echo ready; until [ "$go" ]; do sleep 0.02; done; wc -c');

    test('is refused in the later profiles, and counts nothing', async () => {
      const { engine, client } = await start('current');
      await client.spawn('p', ...deaf);
      let applied = 0;
      let failure: string | undefined;
      for (let count = 0; count < tooMany && failure === undefined; count++) {
        failure = await failureOf(async () => {
          ({ applied } = await client.input('p', piece));
        });
      }
      expect(failure).toBe('stdinQueueFull');
      const [info] = await engine.sessions();
      expect(info).toMatchObject({ inBytes: applied });
      expect(info?.stdinQueued).toBeGreaterThan(windowBytes - 2 * piece.length);
    });

    test('is held back in profile S, in order with the end of input, and loses no byte', async () => {
      const { client } = await start('S');
      const { pid } = await client.spawn('p', ...deaf);
      await client.reader.untilOutput('p', 'ready');
      const answered: number[] = [];
      const inputs = Array.from({ length: tooMany }, (_, index) =>
        client.input('p', piece).then((result) => {
          answered.push(index);
          return result.applied;
        }),
      );
      const closed = client.closeInput('p', tooMany * piece.length);
      await client.end('other', terminate);
      expect(answered.length).toBeLessThan(tooMany);
      process.kill(pid, 'SIGUSR1');
      expect(await Promise.all(inputs)).toEqual(inputs.map((_, index) => (index + 1) * piece.length));
      expect(answered).toEqual(range(0, tooMany - 1));
      expect(await closed).toEqual({ applied: tooMany * piece.length, duplicate: false });
      await client.reader.untilOutput('p', `${tooMany * piece.length}\n`);
    });

    test('is answered in profile S when the process ends instead', async () => {
      const { client } = await start('S');
      await client.spawn('p', 'sleep', ['3600']);
      // The pipe breaks an instant before the end is known: until then the process counts as running (spec process.md §5.2).
      const orNotRunning = (call: Promise<object>) => call.catch(({ kind }) => kind);
      const inputs = Array.from({ length: tooMany }, () => orNotRunning(client.input('p', piece)));
      const closed = orNotRunning(client.closeInput('p', tooMany * piece.length));
      await client.end('p', { how: 'signal', signal: 'KILL' });
      for (const [index, outcome] of (await Promise.all([...inputs, closed])).entries()) {
        const applied = Math.min(index + 1, tooMany) * piece.length;
        expect.soft(['processNotRunning', { applied, duplicate: false }]).toContainEqual(outcome);
      }
    });
  });

  describe.each(profiles)('profile %s: the end of input', (profile) => {
    test('comes after exactly the bytes before it', async () => {
      const { client } = await start(profile);
      await client.spawn('p', 'sha256sum');
      const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
      const inputs = [client.input('p', bytes.subarray(0, 200_000)), client.input('p', bytes.subarray(200_000))];
      expect(await client.closeInput('p', bytes.length)).toEqual({ applied: bytes.length, duplicate: false });
      await Promise.all(inputs);
      await client.reader.untilExit('p');
      expect(client.reader.output('p')).toContain(createHash('sha256').update(bytes).digest('hex'));
    });

    test('has a place, a repeat and nothing fresh behind it', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', ...shell('cat; exec sleep 3600'));
      await client.input('p', 'abc\n');
      expect(await failureOf(() => client.closeInput('p', 5))).toBe('stdinGap');
      expect(await failureOf(() => client.closeInput('p', 3))).toBe('stdinEndBehind');
      expect(await client.closeInput('p', 4)).toEqual({ applied: 4, duplicate: false });
      expect(await client.closeInput('p', 4)).toEqual({ applied: 4, duplicate: true });
      expect(await failureOf(() => client.closeInput('p', 3))).toBe('stdinEndBehind');
      expect(await failureOf(() => client.closeInput('p', 5))).toBe('stdinGap');
      expect(await client.input('p', 'bc\n', 1)).toEqual({ applied: 4, duplicate: true });
      expect(await failureOf(() => client.input('p', 'fresh'))).toBe('stdinClosed');
      expect(await failureOf(() => client.input('p', 'c\nfresh', 2))).toBe('stdinClosed');
      expect((await engine.sessions())[0]).toMatchObject({ stdinClosed: true, inBytes: 4 });
    });

    test('of an ended process is a repeat where it was closed, else too late', async () => {
      const { client } = await start(profile);
      await client.spawn('closed', 'cat');
      await client.closeInput('closed', 0);
      await client.spawn('open', 'true');
      await Promise.all(['closed', 'open'].map((id) => client.reader.untilExit(id)));
      expect(await client.closeInput('closed', 0)).toEqual({ applied: 0, duplicate: true });
      expect(await failureOf(() => client.closeInput('closed', 1))).toBe('processNotRunning');
      expect(await failureOf(() => client.closeInput('open', 0))).toBe('processNotRunning');
    });
  });

  describe.each(profiles)('profile %s: an end', (profile) => {
    const none = { found: false, died: false, alreadyExited: false, escalated: false };

    test('of nobody finds nobody, whatever was asked', async () => {
      const { client } = await start(profile);
      const requests: EndRequest[] = [terminate, killAndWait(), { how: 'release', graceMs: undefined }];
      for (const how of requests) {
        expect.soft(await client.end('nobody', how)).toMatchObject({ ...none, mark: undefined });
      }
    });

    test('by a signal is answered at once and reaches the child alone', async () => {
      const { client } = await start(profile);
      const { pid } = await client.spawn('p', ...shell('sleep 3600 >/dev/null 2>&1 & echo $!; wait'));
      await client.reader.untilOutput('p', '\n');
      const grandchild = facts(Number(client.reader.output('p')));
      expect(await client.end('p', terminate)).toMatchObject({ ...none, found: true });
      await client.reader.untilExit('p');
      expect(processFacts(pid)).toBeUndefined();
      expect(isRunning(grandchild)).toBe(true);
      signalProcess(grandchild, 'SIGKILL');
    });

    test('by KILL reaches the whole group', async () => {
      const { client } = await start(profile);
      await client.spawn('p', ...shell('sleep 3600 & echo $!; wait'));
      await client.reader.untilOutput('p', '\n');
      const grandchild = facts(Number(client.reader.output('p')));
      await client.end('p', { how: 'signal', signal: 'KILL' });
      await client.reader.untilExit('p');
      await untilEnded(grandchild);
    });

    test.each(['receiver', 'observer'] as const)(
      'that is waited for is answered behind the exit frame when the asker is the %s',
      async (role) => {
        const { client, other } = await start(profile);
        await client.spawn('p', ...counting);
        await client.reader.untilOutput('p', '2\n');
        const asker = role === 'receiver' ? client : other;
        if (role === 'observer') {
          await other.attach('p', 0, 'observer');
        }
        asker.reader.hold();
        expect(await asker.end('p', killAndWait())).toMatchObject({ ...none, found: true, died: true });
        expect(asker.reader.placeOf('reply end')).toBe(-1);
        asker.reader.goOn();
        await asker.reader.until('reply end');
        expect(asker.reader.got.slice(-2)).toEqual([`p exit ${asker.reader.lastSeq('p')} code -1`, 'reply end p']);
      },
    );

    test('that is waited for by somebody who does not read the process is answered at once', async () => {
      const { client, other } = await start(profile);
      client.reader.hold();
      await client.spawn('p', 'cat');
      expect(await other.end('p', killAndWait())).toMatchObject({ died: true, mark: undefined });
      expect(other.reader.got).toEqual(['reply end p']);
    });

    test('of an ended process says so and signals nobody', async () => {
      const { client } = await start(profile);
      await client.spawn('p', 'true');
      await client.reader.untilExit('p');
      expect(await client.end('p', killAndWait())).toMatchObject({ found: true, died: true, alreadyExited: true });
      await client.reader.until('reply end');
      expect(client.reader.got.slice(-2)).toEqual(['p exit 1 code 0', 'reply end p']);
    });

    test('that is not obeyed is answered after the grace, with nothing more sent', async () => {
      const { client } = await start(profile);
      const { pid } = await client.spawn('p', ...stubborn);
      await client.reader.untilOutput('p', 'ready');
      expect(await client.end('p', killAndWait({ graceMs: 50n, escalate: false }))).toMatchObject({
        ...none,
        found: true,
      });
      expect(isRunning(facts(pid))).toBe(true);
    });

    test('that is not obeyed becomes a kill when it may', async () => {
      const { client } = await start(profile);
      await client.spawn('p', ...stubborn);
      await client.reader.untilOutput('p', 'ready');
      const result = await client.end('p', killAndWait({ graceMs: 50n }));
      expect(result).toMatchObject({ found: true, died: true, alreadyExited: false, escalated: true });
    });

    test('whose exit frame does not come in time says so', async () => {
      const { client } = await start(profile, { timings: { killEscalatedMs: 100, pipeDrainMs: 60_000 } });
      // The other one has left the group and holds the pipes.
      await client.spawn('p', ...shell("setsid sh -c 'echo $$; exec sleep 3600' & wait"));
      await waitUntil(() => client.reader.output('p') !== '', 'the process to have started the other one');
      const result = await client.end('p', killAndWait({ graceMs: 50n }));
      expect(result).toMatchObject({ found: true, died: false, escalated: true, mark: undefined });
      for (const [pid] of client.reader.output('p').matchAll(/\d+/g)) {
        const left = processFacts(Number(pid));
        if (left !== undefined) {
          signalProcess(left, 'SIGKILL');
        }
      }
      await client.reader.untilExit('p');
    });

    test('with a grace of zero or less has the default one', async () => {
      const { client } = await start(profile, { timings: { killGraceMs: 60_000 } });
      for (const graceMs of [0n, -5n]) {
        await client.spawn('p', ...shell("trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.01; done"));
        await client.reader.untilOutput('p', 'ready');
        expect(await client.end('p', killAndWait({ graceMs }))).toMatchObject({ died: true, escalated: false });
      }
    });

    test('by release forgets the process, with its readers served to the end', async () => {
      const { engine, client, other } = await start(profile);
      await client.spawn('p', ...counting);
      await client.reader.untilOutput('p', '2\n');
      await other.attach('p', 0, 'observer');
      client.reader.hold();
      other.reader.hold();
      const result = await client.end('p', { how: 'release', graceMs: undefined });
      expect(result).toMatchObject({ found: true, died: true, alreadyExited: false });
      expect(await engine.sessions()).toEqual([]);
      expect(await client.attach('p')).toBeUndefined();
      client.reader.goOn();
      other.reader.goOn();
      await client.reader.until('reply end');
      await other.reader.untilExit('p');
      expect(client.reader.got.slice(-2)).toEqual([`p exit ${client.reader.lastSeq('p')} code -1`, 'reply end p']);
      expect(other.reader.raw('p')).toEqual(client.reader.raw('p'));
      expect([client.reader.streams.size, other.reader.streams.size]).toEqual([0, 0]);
    });

    test('by release takes one that has ended already', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', 'true');
      await client.reader.untilExit('p');
      expect(await client.end('p', { how: 'release', graceMs: undefined })).toMatchObject({ alreadyExited: true });
      expect(await engine.sessions()).toEqual([]);
    });
  });

  describe.each(profiles)('profile %s: a reader', (profile) => {
    test('that becomes the receiver takes the process over, and the old one gets nothing newer', async () => {
      const { client, other } = await start(profile);
      await client.spawn('p', ...counting);
      await client.reader.untilOutput('p', '3\n');
      const opened = await other.attach('p');
      await waitUntil(() => other.reader.lastSeq('p') > (opened?.lastSeq ?? 0) + 3, 'live frames');
      expect(client.reader.lastSeq('p')).toBeLessThanOrEqual(opened?.lastSeq ?? 0);
      expect(client.reader.told).toEqual(['attached p', 'replaced p']);
      expect(other.reader.seqs('p')).toEqual(range(1, other.reader.lastSeq('p')));
      expect(other.reader.placeOf('reply')).toBe(opened?.lastSeq);
    });

    test('gets the frames behind any number, its reply behind them, and then live ones', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', 'cat');
      for (const line of ['a\n', 'b\n', 'c\n']) {
        await client.input('p', line);
        await client.reader.untilOutput('p', line);
      }
      for (const fromSeq of [0n, 1n, 2n, 3n, 4n, 2n ** 64n - 1n]) {
        const reader = new TestReader();
        const opened = await reader.ask('attach', engine.attach('p', fromSeq, reader, 'observer'));
        expect.soft(opened).toMatchObject({ running: true, firstSeq: 1, lastSeq: 3, stdinApplied: 6 });
        await reader.until('reply');
        expect
          .soft(reader.got)
          .toEqual([
            ...['p stdout 1 a', 'p stdout 2 b', 'p stdout 3 c'].slice(Number(fromSeq > 3n ? 3n : fromSeq)),
            'reply attach',
          ]);
      }
    });

    test('gets its reply in its place also when the answer is late, and no frame before it is', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', 'cat');
      await client.input('p', 'before\n');
      await client.reader.untilOutput('p', 'before');
      const reader = new TestReader();
      const opened = await engine.attach('p', 0n, reader, 'receiver');
      await reader.until('p stdout 1 before');
      await client.input('p', 'after\n');
      await waitUntil(async () => (await engine.sessions())[0]?.lastSeq === 2, 'the live frame to be there');
      expect(reader.got).toEqual(['p stdout 1 before']);
      reader.reply(opened?.mark, 'late');
      await reader.until('p stdout 2');
      expect(reader.got).toEqual(['p stdout 1 before', 'reply late', 'p stdout 2 after']);
    });

    test('that attaches again gets the replay again, and stays the receiver', async () => {
      const { client } = await start(profile);
      await client.spawn('p', 'cat');
      await client.input('p', 'once\n');
      await client.reader.untilOutput('p', 'once');
      await client.attach('p');
      await client.attach('p');
      await client.input('p', 'twice\n');
      await client.reader.untilOutput('p', 'twice');
      expect(client.reader.seqs('p')).toEqual([1, 1, 1, 2]);
      expect(client.reader.told).toEqual(['attached p']);
    });

    test('of nobody gets nothing', async () => {
      const { client } = await start(profile);
      expect(await client.attach('nobody')).toBeUndefined();
      expect(await client.attach('nobody', 0, 'observer')).toBeUndefined();
      expect(client.reader.got).toEqual(['reply attach nobody', 'reply attach nobody']);
    });

    test('that only observes gets the very bytes, and the receiver is told nothing', async () => {
      const { engine, client, other } = await start(profile);
      const third = new Asker(engine);
      await client.spawn('p', ...shell('echo out; echo err >&2; read line; echo "$line"; exit 7'));
      await client.reader.untilOutput('p', 'out');
      await other.attach('p', 0, 'observer');
      await third.attach('p', 0, 'observer');
      expect((await engine.sessions())[0]).toMatchObject({ attached: true, observers: 2 });
      await client.input('p', 'go on\n');
      const all = [client, other, third];
      await Promise.all(all.map(({ reader }) => reader.untilExit('p')));
      expect(other.reader.raw('p')).toEqual(client.reader.raw('p'));
      expect(third.reader.raw('p')).toEqual(client.reader.raw('p'));
      expect(client.reader.told).toEqual(['attached p']);
    });

    test('may receive and observe one process at once', async () => {
      const { client } = await start(profile);
      await client.spawn('p', 'cat');
      await client.attach('p', 0, 'observer');
      await client.input('p', 'twice\n');
      await waitUntil(() => client.reader.seqs('p').length === 2, 'both');
      expect(client.reader.seqs('p')).toEqual([1, 1]);
      expect(await client.engine.unobserve('p', client.reader)).toBe(true);
      await client.input('p', 'once\n');
      await client.reader.untilOutput('p', 'once');
      expect(client.reader.seqs('p')).toEqual([1, 1, 2]);
    });

    test('that observes no longer gets nothing more', async () => {
      const { engine, client, other } = await start(profile);
      await client.spawn('p', 'cat');
      await other.attach('p', 0, 'observer');
      expect(await engine.unobserve('p', client.reader)).toBe(false);
      expect(await engine.unobserve('p', other.reader)).toBe(true);
      expect(await engine.unobserve('p', other.reader)).toBe(false);
      await client.input('p', 'unseen\n');
      await client.reader.untilOutput('p', 'unseen');
      expect(other.reader.seqs('p')).toEqual([]);
      expect((await engine.sessions())[0]).toMatchObject({ observers: 0 });
    });

    test('that leaves takes nothing with it: output goes on being kept', async () => {
      const { engine, client, other } = await start(profile);
      await client.spawn('p', 'cat');
      client.reader.disconnect();
      expect((await engine.sessions())[0]).toMatchObject({ attached: false });
      await other.input('p', 'kept\n');
      await waitUntil(async () => (await engine.sessions())[0]?.lastSeq === 1, 'the frame');
      await other.attach('p');
      await other.reader.untilOutput('p', 'kept');
      expect(client.reader.seqs('p')).toEqual([]);
    });

    test('that wants no more than it was promised gets that, and the process has no receiver any more', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', 'cat');
      await client.input('p', 'promised\n');
      await client.reader.untilOutput('p', 'promised');
      client.reader.hold();
      await client.attach('p');
      for (const stream of client.reader.streams) {
        stream.stopLive();
      }
      expect((await engine.sessions())[0]).toMatchObject({ attached: false });
      await client.input('p', 'not promised\n');
      await waitUntil(async () => (await engine.sessions())[0]?.lastSeq === 2, 'the frame');
      client.reader.goOn();
      await client.reader.until('reply attach');
      expect(client.reader.seqs('p')).toEqual([1, 1]);
      await waitUntil(() => client.reader.streams.size === 0, 'the stream to be done');
    });
  });

  describe('a reader that is slow', () => {
    const flood = (bytes: number): [string, string[]] => ['head', ['-c', String(bytes), '/dev/zero']];

    test('as the receiver paces the program and gets every byte', async () => {
      const { engine, client } = await start('S');
      client.reader.hold();
      await client.spawn('p', ...flood(40 * mebibyte));
      await waitUntil(async () => (await engine.sessions())[0]?.paced, 'the program to be held back');
      client.reader.goOn();
      await client.reader.untilExit('p');
      expect(client.reader.seqs('p')).toEqual(range(1, client.reader.lastSeq('p')));
      expect((await engine.sessions())[0]).toMatchObject({ outBytes: 40 * mebibyte, paced: false });
    });

    test('as the receiver that takes nothing is told where it fell out of the window', async () => {
      const { client } = await start('S', { timings: { readerStallMs: 200 } });
      client.reader.hold();
      await client.spawn('p', ...flood(40 * mebibyte));
      await waitUntil(() => client.reader.told.length === 2, 'it to be told');
      expect(client.reader.told).toEqual(['attached p', 'fell behind p 1']);
    });

    test('as an observer holds nobody back, and is told in place what it missed', async () => {
      const { engine, client, other } = await start('S', { timings: { readerStallMs: 600_000 } });
      await client.spawn('p', ...shell(`read go; exec head -c ${30 * mebibyte} /dev/zero`));
      await other.attach('p', 0, 'observer');
      other.reader.hold();
      await client.input('p', 'go\n');
      await client.reader.untilExit('p');
      const [info] = await engine.sessions();
      const firstSeq = info?.firstSeq ?? 0;
      expect(firstSeq).toBeGreaterThan(1);
      other.reader.goOn();
      await other.reader.untilExit('p');
      expect(other.reader.got.slice(0, 2)).toEqual(['reply attach p', `p gap 1-${firstSeq - 1}`]);
      expect(other.reader.raw('p')).toEqual(client.reader.raw('p').slice(firstSeq - 1));
    });

    test('as an observer is served to the end also when the process is forgotten meanwhile', async () => {
      const { engine, client, other } = await start('S');
      await client.spawn('p', ...shell(`read go; exec head -c ${20 * mebibyte} /dev/zero`));
      await other.attach('p', 0, 'observer');
      other.reader.hold();
      await client.input('p', 'go\n');
      await client.reader.untilExit('p');
      await client.end('p', { how: 'release', graceMs: undefined });
      expect(await engine.sessions()).toEqual([]);
      other.reader.goOn();
      await other.reader.untilExit('p');
      expect(other.reader.placeOf('p gap')).toBe(1);
      await waitUntil(() => other.reader.streams.size === 0, 'the stream to be let go');
    });
  });

  describe('when the memory budget is reached', () => {
    const flood = (bytes: number): [string, string[]] => ['head', ['-c', String(bytes), '/dev/zero']];
    /** Writes so much and stays. */
    const writesAndStays = (bytes: number) => shell(`head -c ${bytes} /dev/zero; echo >&2; exec sleep 3600`);

    async function windows(engine: SessionEngine): Promise<Record<string, number>> {
      const sessions = await engine.sessions();
      return Object.fromEntries(sessions.map(({ id, windowBytes }) => [id, windowBytes]));
    }

    test('frames of ended processes go first, seen ones before unseen ones and the oldest end first; each keeps its exit', async () => {
      const { engine, client, other } = await start('S', { memoryBudget: 14 * mebibyte });
      const ended = async (id: string): Promise<void> => {
        await waitUntil(async () => (await engine.sessions()).some((one) => one.id === id && one.exit), `${id} to end`);
      };
      // Each takes four megabytes and a third of frames.
      await other.spawn('unseen', ...shell(`read go; exec head -c ${3 * mebibyte} /dev/zero`));
      await other.input('unseen', '\n');
      other.reader.disconnect();
      await ended('unseen');
      for (const id of ['first seen', 'second seen']) {
        await client.spawn(id, ...flood(3 * mebibyte));
        await client.reader.untilExit(id);
      }
      expect(Object.values(await windows(engine)).every((bytes) => bytes > 4 * mebibyte)).toBe(true);

      await client.spawn('third', ...flood(3 * mebibyte));
      await client.reader.untilExit('third');
      const gives = async (id: string, toBytes: number): Promise<void> => {
        await waitUntil(async () => ((await windows(engine))[id] ?? 0) < toBytes || undefined, `${id} to give frames`);
      };
      await gives('first seen', 4 * mebibyte);
      const after = await windows(engine);
      expect(after['second seen']).toBeGreaterThan(4 * mebibyte);
      expect(after.unseen).toBeGreaterThan(4 * mebibyte);

      for (const id of ['fourth', 'fifth']) {
        await client.spawn(id, ...flood(3 * mebibyte));
        await client.reader.untilExit(id);
      }
      // Nothing but their exit frames is left of them.
      await gives('first seen', 200);
      await gives('second seen', 200);
      expect((await windows(engine)).unseen).toBeGreaterThan(4 * mebibyte);

      const again = await other.attach('first seen', 0);
      await other.reader.untilExit('first seen');
      expect(again?.firstSeq).toBe(again?.lastSeq);
      expect(other.reader.raw('first seen')).toEqual(client.reader.raw('first seen').slice(-1));
    });

    test('then windows of running processes that nobody receives shrink to one megabyte, and they go on', async () => {
      const { engine, client, other } = await start('S', { memoryBudget: 12 * mebibyte });
      await other.spawn('alone', ...shell(`head -c ${5 * mebibyte} /dev/zero; exec cat`));
      await other.reader.until('alone stdout 160');
      other.reader.disconnect();
      await client.spawn('received', ...writesAndStays(8 * mebibyte));
      await client.reader.until('received stderr');
      await waitUntil(async () => ((await windows(engine)).alone ?? 0) <= mebibyte, 'the window to shrink');
      expect((await windows(engine)).alone).toBeGreaterThan(mebibyte - 50_000);
      expect((await windows(engine)).received).toBeGreaterThan(8 * mebibyte);

      // What is left is the newest part, and the program has noticed nothing.
      await other.input('alone', 'still there\n');
      const again = await client.attach('alone', 0);
      await client.reader.untilOutput('alone', 'still there');
      expect(again?.firstSeq).toBeGreaterThan(1);
      expect(client.reader.seqs('alone')).toEqual(range(again?.firstSeq ?? 0, client.reader.lastSeq('alone')));
    });

    test('then a new process is refused with the budget and what to do, and what runs goes on', async () => {
      const { engine, client } = await start('S', { memoryBudget: 6 * mebibyte });
      await client.spawn('p', ...shell(`head -c ${4 * mebibyte} /dev/zero; exec cat`));
      // By bytes: on a busy machine some frames are short.
      await waitUntil(async () => (await engine.sessions())[0]?.outBytes === 4 * mebibyte, 'all of the output');
      const refused = await failureOf(() => client.spawn('q', 'true'));
      expect(refused).toMatch(
        /^memory budget of 6291456 bytes reached: a new process needs 1048576 bytes, \d+ are free; end processes, read replies, or raise memory-budget$/,
      );
      await client.input('p', 'go on\n');
      await client.reader.untilOutput('p', 'go on');
      await client.end('p', { how: 'release', graceMs: undefined });
      await client.spawn('q', 'true');
      await client.reader.untilExit('q');
    });

    test('a process goes on writing however little there is, and its receiver gets every byte of it', async () => {
      const { engine, client } = await start('S', { memoryBudget: 3 * mebibyte });
      await client.spawn('p', ...flood(20 * mebibyte));
      await client.reader.untilExit('p');
      expect(client.reader.seqs('p')).toEqual(range(1, client.reader.lastSeq('p')));
      expect((await engine.sessions())[0]).toMatchObject({ outBytes: 20 * mebibyte, unseenExit: false });
      expect((await windows(engine)).p).toBeLessThan(4 * mebibyte);
    });

    test('a receiver that has stopped reading keeps nothing from the others', async () => {
      const { engine, client, other } = await start('S', {
        memoryBudget: 8 * mebibyte,
        timings: { readerStallMs: 200 },
      });
      other.reader.hold();
      await other.spawn('unread', ...flood(4 * mebibyte));
      await waitUntil(async () => (await engine.sessions())[0]?.exit, 'it to end');
      const tryIt = async (): Promise<true | undefined> =>
        (await failureOf(() => client.spawn('p', ...flood(4 * mebibyte)))) === undefined || undefined;
      await tryIt();
      await waitUntil(() => other.reader.told.length === 2 || tryIt().then(() => undefined), 'it to be told');
      expect(other.reader.told).toEqual(['attached unread', 'fell behind unread 1']);
    });

    test('input that the child does not read counts, and is refused beyond what a pipe takes', async () => {
      const { client } = await start('current', { memoryBudget: 3 * mebibyte });
      await client.spawn('deaf', 'sleep', ['3600']);
      expect(await client.input('deaf', Buffer.alloc(2 * mebibyte))).toMatchObject({ applied: 2 * mebibyte });
      expect(await failureOf(() => client.input('deaf', Buffer.alloc(2 * mebibyte)))).toMatch(
        /^memory budget of 3145728 bytes reached: process\.stdin needs 2097152 bytes, /,
      );
      await client.end('deaf', killAndWait());
      await client.spawn('cat', 'cat');
      await client.input('cat', 'small\n');
      await client.reader.untilOutput('cat', 'small');
    });
  });

  describe('input that waits for room (profile S)', () => {
    test('is let go with whoever asked, and not taken', async () => {
      const { engine, client, other } = await start('S', { memoryBudget: 40 * mebibyte });
      await client.spawn('deaf', ...shell('read go; exec wc -c'));
      await client.input('deaf', Buffer.alloc(windowBytes - 1));
      const gone = new AbortController();
      const waiting = failureOf(() => engine.input('deaf', Buffer.alloc(mebibyte), undefined, gone.signal));
      const behind = other.input('deaf', '\n');
      gone.abort();
      expect(await waiting).toBe('clientGone');
      expect(await behind).toMatchObject({ applied: windowBytes });
    });
  });

  describe.each(profiles)('profile %s: while a spawn is on its way', (profile) => {
    test('requests for its id wait for it, in their order, whoever asks', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { engine, client, other } = await start(profile, { shellPath: promise });
      const done: string[] = [];
      const note = async <T>(what: string, call: Promise<T>): Promise<T> => {
        const result = await call;
        done.push(what);
        return result;
      };
      const calls = [
        note('spawn', client.spawn('p', 'cat')),
        note('input', client.input('p', 'one\n')),
        note('input of another', other.input('p', 'two\n', 4)),
        note('observe', other.attach('p', 0, 'observer')),
        note('close', client.closeInput('p', 8)),
      ];
      const unknown = await failureOf(() => other.input('q', 'x'));
      expect([unknown, done]).toEqual(['processNotFound', []]);
      resolve();
      const [spawned, first, second, observed] = await Promise.all(calls);
      expect(done).toEqual(['spawn', 'input', 'input of another', 'observe', 'close']);
      expect([first, second]).toEqual([
        { applied: 4, duplicate: false },
        { applied: 8, duplicate: false },
      ]);
      expect(observed).toMatchObject({ pid: (spawned as Opened).pid, stdinApplied: 8 });
      await other.reader.untilExit('p');
      expect(other.reader.output('p')).toBe('one\ntwo\n');
      expect(await engine.sessions()).toHaveLength(1);
    });

    test('another spawn of its id comes after it, and a kill after both', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { client, other } = await start(profile, { shellPath: promise });
      const first = client.spawn('p', 'sleep', ['3600']);
      const second = other.spawn('p', 'cat');
      const killed = client.end('p', killAndWait());
      resolve();
      const [{ pid: old }, { pid: recent }] = await Promise.all([first, second]);
      expect(await killed).toMatchObject({ found: true, died: true });
      expect(processFacts(recent)).toBeUndefined();
      if (profile === 'next') {
        expect(isRunning(facts(old))).toBe(true);
      } else {
        await waitUntil(() => processFacts(old) === undefined, 'the old one to be killed');
      }
    });

    test('that fails, the requests behind it are told what they would be told without it', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { client, other } = await start(profile, { shellPath: promise });
      const spawned = failureOf(() => client.spawn('p', '/nonexistent'));
      const input = failureOf(() => other.input('p', 'x'));
      const attached = other.attach('p');
      const again = other.spawn('p', 'cat');
      resolve();
      expect(await spawned).toBe('fork/exec /nonexistent: no such file or directory');
      expect(await input).toBe('processNotFound');
      expect(await attached).toBeUndefined();
      expect(await again).toMatchObject({ existing: false, running: true });
    });

    test('of a client that has gone, the process is there for the next one', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const { engine, client, other } = await start(profile, { shellPath: promise });
      const spawned = client.spawn('p', 'cat');
      const attached = other.attach('p');
      client.reader.disconnect();
      resolve();
      expect((await attached)?.pid).toBe((await spawned).pid);
      expect((await engine.sessions())[0]).toMatchObject({ attached: true });
    });
  });

  describe.each(profiles)('profile %s: the list of sessions', (profile) => {
    test('tells everything of a process, from its start to its end', async () => {
      const { engine, client, other } = await start(profile);
      const dir = folder();
      const args = ['-c', 'cat; echo e >&2; exit 5', 'name'];
      const before = Date.now();
      const { pid, startTime } = await client.spawn('p', 'sh', args, { cwd: dir, door: 'agent' });
      const after = Date.now();
      const [first] = (await engine.sessions()) as [SessionInfo];
      const { spawnedAt, sinceAttachChange } = first;
      expect(spawnedAt).toBeGreaterThanOrEqual(before);
      expect(spawnedAt).toBeLessThanOrEqual(after);
      const atFirst: SessionInfo = {
        ...{ id: 'p', pid, startTime, command: 'sh', args, cwd: dir, state: 'running', spawnedAt, exit: undefined },
        ...{ attached: true, observers: 0, sinceAttachChange, unseenExit: false, firstSeq: 0, lastSeq: 0 },
        ...{ outBytes: 0, errBytes: 0, inBytes: 0, stdinQueued: 0, stdinClosed: false, windowBytes: 0 },
        ...{ spoolBytes: 0, paced: false, door: 'agent', replaced: false },
      };
      expect(first).toEqual(atFirst);

      await client.input('p', 'four');
      await client.reader.untilOutput('p', 'four');
      await other.attach('p', 0, 'observer');
      const [second] = (await engine.sessions()) as [SessionInfo];
      const frameBytes = (client.reader.raw('p')[0]?.length ?? 0) + 1;
      expect(second).toEqual({
        ...atFirst,
        ...{ observers: 1, firstSeq: 1, lastSeq: 1, outBytes: 4, inBytes: 4, windowBytes: frameBytes },
      });

      client.reader.disconnect();
      await client.closeInput('p', 4);
      await other.reader.untilExit('p');
      const [third] = (await engine.sessions()) as [SessionInfo];
      expect(third).toMatchObject({
        ...{ state: 'exited', exit: { code: 5, signal: undefined, killedBy: undefined } },
        ...{ attached: false, unseenExit: true, lastSeq: 3, errBytes: 2, stdinClosed: true },
      });
      expect(third.exit?.at).toBeGreaterThanOrEqual(spawnedAt);
      expect(third.sinceAttachChange).toBeGreaterThanOrEqual(sinceAttachChange);

      await client.attach('p');
      await client.reader.untilExit('p');
      expect((await engine.sessions())[0]).toMatchObject({ unseenExit: false, attached: true });
    });

    test('tells who ended a process, and the signal that did', async () => {
      const { engine, client } = await start(profile);
      await client.spawn('p', 'sleep', ['3600']);
      await client.end('p', killAndWait());
      expect((await engine.sessions())[0]?.exit).toMatchObject({ code: -1, signal: 'SIGTERM', killedBy: 'client' });
    });

    test('tells that a process has ended whose pipes are still held', async () => {
      const { engine, client } = await start(profile, { timings: { pipeDrainMs: 60_000 } });
      await client.spawn('p', ...fixture('hold-pipe-open.sh'));
      await waitUntil(async () => (await engine.sessions())[0]?.state === 'draining', 'the process to have ended');
      expect((await client.attach('p'))?.running).toBe(profile !== 'next');
      await client.end('p', { how: 'signal', signal: 'KILL' });
      const result = await client.end('p', killAndWait({ graceMs: 50n }));
      expect(result).toMatchObject({ died: true, escalated: true });
    });

    test('is in the order of the starts, also when an id was used again', async () => {
      const { engine, client } = await start(profile);
      for (const id of ['a', 'b', 'c', 'a']) {
        await client.spawn(id, 'cat');
      }
      const ids = async () => (await engine.sessions()).filter(({ replaced }) => !replaced).map(({ id }) => id);
      expect(await ids()).toEqual(['b', 'c', 'a']);
      expect(engine.runningCount).toBeGreaterThanOrEqual(3);
    });
  });

  describe.each(profiles)('profile %s: whoever watches', (profile) => {
    /** The events of one process in words. */
    function watch(engine: SessionEngine, id = 'p'): string[] {
      const told: string[] = [];
      const watching = engine.watch((event) => {
        if (event.id === id) {
          told.push(event.replaced ? `replaced ${event.event}` : event.event);
        }
      });
      onTestFinished(() => watching[Symbol.dispose]());
      return told;
    }

    const until = (told: string[], event: string) =>
      waitUntil(() => told.includes(event) || undefined, `${event}, had ${told}`);

    test('is told everything of a process, each thing once and in order', async () => {
      const { engine, client, other } = await start(profile, { timings: { retentionMs: 300, retentionCheckMs: 20 } });
      const told = watch(engine);
      await client.spawn('p', 'cat');
      await other.attach('p');
      await other.attach('p');
      other.reader.disconnect();
      await client.closeInput('p', 0);
      await client.closeInput('p', 0);
      await until(told, 'forgotten');
      expect(told).toEqual([
        ...['spawned', 'attached', 'detached', 'attached', 'detached'],
        ...['stdinClosed', 'exited', 'forgotten'],
      ]);
    });

    test('is told the pid and the end as they are', async () => {
      const { engine, client } = await start(profile);
      const events: SessionEvent[] = [];
      engine.watch((event) => events.push(event));
      const { pid } = await client.spawn('p', ...shell('exit 9'));
      await client.reader.untilExit('p');
      expect(new Set(events.map(({ id, pid: each }) => `${id} ${each}`))).toEqual(new Set([`p ${pid}`]));
      const exited = events.find(({ event }) => event === 'exited');
      expect(exited).toMatchObject({ exit: { code: 9, signal: undefined, killedBy: undefined } });
      const times = events.map(({ at }) => at);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    });

    test('is told of pacing, and of its end', async () => {
      const { engine, client } = await start(profile);
      const told = watch(engine);
      client.reader.hold();
      await client.spawn('p', 'head', ['-c', String(12 * mebibyte), '/dev/zero']);
      await until(told, 'paced');
      client.reader.goOn();
      await client.reader.untilExit('p');
      expect(told).toEqual(['spawned', 'attached', 'paced', 'resumed', 'exited']);
    });

    test('is told that a process was released, which stands for its being forgotten', async () => {
      const { engine, client } = await start(profile);
      const told = watch(engine);
      await client.spawn('p', 'cat');
      await client.end('p', { how: 'release', graceMs: undefined });
      expect(told).toEqual(['spawned', 'attached', 'exited', 'detached', 'released']);
    });

    test('is told that an ended process is forgotten before another one has its id', async () => {
      const { engine, client } = await start(profile);
      const told = watch(engine);
      await client.spawn('p', 'true');
      await client.reader.untilExit('p');
      await client.spawn('p', 'cat');
      expect(told).toEqual([...['spawned', 'attached', 'exited'], ...['detached', 'forgotten', 'spawned', 'attached']]);
    });

    test('is told the same of a running one, and can tell what still comes of it from what is new', async () => {
      const { engine, client } = await start(profile);
      const told = watch(engine);
      const { pid } = await client.spawn('p', 'sleep', ['3600']);
      await client.spawn('p', 'cat');
      if (profile === 'next') {
        signalProcess(facts(pid), 'SIGKILL');
      }
      await until(told, 'replaced exited');
      const atOnce = profile === 'next' ? [] : ['detached'];
      const later = profile === 'next' ? ['replaced detached'] : [];
      await waitUntil(() => told.length >= 7, 'everything');
      expect(told).toEqual([
        ...['spawned', 'attached', ...atOnce, 'forgotten', 'spawned', 'attached'],
        ...['replaced exited', ...later],
      ]);
    });

    test('is told nothing any more when it has ended its watching', async () => {
      const { engine, client } = await start(profile);
      const told: string[] = [];
      const watching = engine.watch(({ event }) => told.push(event));
      await client.spawn('p', 'cat');
      watching[Symbol.dispose]();
      await client.end('p', killAndWait());
      expect(told).toEqual(['spawned', 'attached']);
    });

    test('has the same list as everybody else, whenever it began: none missing, none doubled', async () => {
      const { engine } = await start(profile);
      const watchers: Watcher[] = [];
      const clients = Array.from({ length: 3 }, () => new Asker(engine));
      const [first, second, third] = clients as [Asker, Asker, Asker];
      const ids = ['a', 'b', 'c', 'd'];
      for (let round = 0; round < 5; round++) {
        await Promise.all([
          ...ids.map((id, index) => clients[(index + round) % 3]?.spawn(id, ...shell('read line; exit 2'))),
          Watcher.begin(engine).then((watcher) => watchers.push(watcher)),
          second.input('b', 'go\n').catch(() => {}),
          third.attach('a'),
          first.end('c', { how: 'release', graceMs: undefined }),
          Watcher.begin(engine).then((watcher) => watchers.push(watcher)),
          first.input('d', 'go\n').catch(() => {}),
        ]);
      }
      for (const { pid, state } of await engine.sessions()) {
        // One that was given its line may end at any moment, also after the list has told that it runs.
        const living = state === 'running' ? processFacts(pid) : undefined;
        if (living !== undefined) {
          signalProcess(living, 'SIGKILL');
        }
      }
      await waitUntil(() => engine.runningCount === 0, 'the end of all');
      const expected = listOf(await engine.sessions());
      expect(expected.length).toBeGreaterThan(2);
      for (const watcher of watchers) {
        expect(watcher.faults).toEqual([]);
        expect(watcher.list).toEqual(expected);
      }
    });
  });

  describe.each(profiles)('profile %s: an ended process', (profile) => {
    test('can be replayed for a while and is then forgotten; a running one never is', async () => {
      const { engine, client } = await start(profile, { timings: { retentionMs: 200, retentionCheckMs: 20 } });
      await client.spawn('running', 'cat');
      await client.spawn('ended', 'true');
      await client.reader.untilExit('ended');
      expect(await client.attach('ended')).toMatchObject({ running: false, lastSeq: 1 });
      await waitUntil(async () => (await engine.sessions()).length === 1, 'the ended one to be forgotten');
      expect(await client.attach('ended')).toBeUndefined();
      expect(await client.attach('running')).toMatchObject({ running: true });
    });

    test('is forgotten at the next spawn too, when it is old enough by then', async () => {
      const { client, other } = await start(profile, { timings: { retentionMs: 1, retentionCheckMs: 600_000 } });
      await client.spawn('old', 'true');
      await client.reader.untilExit('old');
      await waitUntil(async () => {
        await other.spawn('another', 'true');
        return (await other.attach('old')) === undefined;
      }, 'the old one to be forgotten');
    });
  });

  describe.each(profiles)('profile %s: the end of the engine', (profile) => {
    test('ends every process with its group, and counts them', async () => {
      const { engine, client } = await start(profile);
      const { pid } = await client.spawn('p', ...shell('sleep 3600 & echo $!; wait'));
      await client.spawn('stubborn', ...stubborn);
      await client.spawn('ended', 'true');
      await Promise.all([client.reader.untilOutput('p', '\n'), client.reader.untilExit('ended')]);
      const family = [facts(pid), facts(Number(client.reader.output('p')))];
      expect(await engine.close('end')).toEqual({ killed: 2, kept: 0 });
      for (const member of family) {
        await untilEnded(member);
      }
      const ends = (await engine.sessions()).map(({ id, exit }) => `${id} ${exit?.killedBy}`);
      expect(ends).toEqual(['p shutdown', 'stubborn shutdown', 'ended undefined']);
    });

    test('leaves every process alone when it is asked to, also when the end is asked for again', async () => {
      const { engine, client } = await start(profile);
      const { pid } = await client.spawn('p', 'sleep', ['3600']);
      expect(await engine.close('keep')).toEqual({ killed: 0, kept: 1 });
      expect(await engine.close('end')).toEqual({ killed: 0, kept: 1 });
      expect(isRunning(facts(pid))).toBe(true);
      signalProcess(facts(pid), 'SIGKILL');
      await client.reader.untilExit('p');
    });

    test('waits for a process that is being started', async () => {
      const { engine, client } = await start(profile);
      // More than one at once may be started beside the loop.
      const spawns = range(1, 12).map((id) => client.spawn(String(id), 'sleep', ['3600']).catch(() => undefined));
      await engine.close('end');
      const pids = (await Promise.all(spawns)).map((opened) => opened?.pid ?? 0).filter((pid) => pid > 0);
      await waitUntil(() => pids.every((pid) => processFacts(pid) === undefined), 'every process to be ended');
      expect(engine.runningCount).toBe(0);
    });
  });
}

/** A list of sessions kept by events alone, as a client of `holdfast.watch` does. */
class Watcher {
  readonly faults: string[] = [];
  readonly #sessions = new Map<string, { state: string; attached: boolean; pid: number }>();

  static async begin(engine: SessionEngine): Promise<Watcher> {
    const watcher = new Watcher();
    let listed = false;
    engine.watch((event) => {
      if (listed) {
        watcher.#follow(event);
      }
    });
    for (const { id, state, attached, pid, replaced } of await engine.sessions()) {
      if (!replaced) {
        watcher.#sessions.set(id, { state, attached, pid });
      }
    }
    listed = true;
    return watcher;
  }

  get list(): string[] {
    return [...this.#sessions].map(([id, { state, attached, pid }]) => `${id} ${pid} ${state} ${attached}`).sort();
  }

  #follow(event: SessionEvent): void {
    if (event.replaced) {
      return;
    }
    const session = this.#sessions.get(event.id);
    if (event.event === 'spawned') {
      if (session !== undefined) {
        this.faults.push(`${event.id} was spawned although it is there`);
      }
      this.#sessions.set(event.id, { state: 'running', attached: false, pid: event.pid });
      return;
    }
    if (session === undefined || session.pid !== event.pid) {
      this.faults.push(`${event.event} of ${event.id}, which is not there`);
      return;
    }
    switch (event.event) {
      case 'attached':
      case 'detached':
        if (session.attached === (event.event === 'attached')) {
          this.faults.push(`${event.id} was ${event.event} already`);
        }
        session.attached = event.event === 'attached';
        break;
      case 'exited':
        session.state = 'exited';
        break;
      case 'forgotten':
      case 'released':
        this.#sessions.delete(event.id);
        break;
      default:
    }
  }
}

function listOf(sessions: readonly SessionInfo[]): string[] {
  return sessions
    .filter(({ replaced }) => !replaced)
    .map(({ id, state, attached, pid }) => `${id} ${pid} ${state} ${attached}`)
    .sort();
}
