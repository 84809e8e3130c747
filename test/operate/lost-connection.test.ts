/** A connection that is lost, or a daemon that dies, in the middle of a look ends a verb with a code of its help and one line. */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandRow } from '../../src/operate/commands/row.ts';
import { type CommandName, commandNames, commands } from '../../src/operate/commands/table.ts';
import { fixture } from '../support/fixtures.ts';
import type { RunResult } from '../support/holdfast.ts';
import { proxyTo } from '../support/host.ts';
import { testNeeding } from '../support/needs.ts';
import { TestTerminal, tmux } from '../support/terminal.ts';
import { waitUntil } from '../support/wait.ts';
import type { FaultProxy } from '../tools/fault-proxy.ts';
import { follow } from './running.ts';
import { type Held, spawnShell, startHeld, untilEndedSession } from './sessions.ts';

const asks = JSON.stringify({
  ...{ type: 'control_request', request_id: 'r1' },
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make' } },
});

/** Long enough for a look to be in its middle, short enough for a test. */
const giveUpMs = 500;

async function startScene(): Promise<Held> {
  const held = await startHeld({ timings: { lookGiveUpMs: giveUpMs } });
  const { host } = held;
  const [command, args] = fixture('asking-agent.ts', '', asks);
  await host.spawn({ id: 'agent', command, args });
  await spawnShell(host, 'over', 'seq 1 2000; exit 3');
  await untilEndedSession(host, 'over');
  await spawnShell(host, 'runs', 'echo x; exec sleep 3600');
  await waitUntil(
    async () => (await host.sessions()).every(({ outBytes }) => outBytes > 0) || undefined,
    'every session to have written',
  );
  return held;
}

/** Verbs that look once. What they change is not done: they are cut off before the end of the last answer. */
const looks: Partial<Readonly<Record<CommandName, readonly string[]>>> = {
  attach: ['over'],
  logs: ['over'],
  top: ['--once'],
  attention: [],
  answer: ['agent', 'r1', 'allow'],
  ps: [],
  reconcile: [],
  why: ['over'],
  release: ['over', '--dry-run'],
  status: [],
  doctor: [],
  upgrade: ['--check'],
};
/** `run` makes its connection anew (run.test.ts); the others have none, and completion is silent whatever happens. */
const others: readonly CommandName[] = ['run', 'token', 'config', 'licenses', 'service', 'completion', 'deploy'];

let proxies = 0;
/** In the run directory, where the token is. */
function proxyOf({ daemon }: Held, toClient = ''): Promise<FaultProxy> {
  proxies++;
  return proxyTo(daemon, { toClient }, `run/p${proxies}.sock`);
}

function started({ daemon }: Held, verb: string, socket: string, words: readonly string[]) {
  return follow(spawn(daemon.program, [verb, '--socket', socket, ...words], { env: daemon.env }));
}

function expectQuiet(verb: CommandName, { code, signal, stdout, stderr }: RunResult): void {
  const row: CommandRow = commands[verb];
  expect({ verb, signal, stderr }).toEqual({
    ...{ verb, signal: null },
    // How far it came, and one line that says what was lost.
    stderr: expect.stringMatching(new RegExp(`^(last seq \\d+\n|holdfast ${verb}: [^\n]+\n){0,2}$`)),
  });
  expect(Object.keys(row.exits)).toContain(String(code));
  expect(stdout).not.toMatch(/^ +at |Error:/m);
}

test('every verb that speaks with a daemon is asked', () => {
  expect([...Object.keys(looks), ...others].sort()).toEqual([...commandNames].sort());
});

describe('in the middle of a look', () => {
  let held: Held;
  beforeAll(async () => {
    held = await startScene();
  });
  afterAll(async () => {
    await held[Symbol.asyncDispose]();
  });

  test.each(Object.entries(looks) as [CommandName, readonly string[]][])(
    'holdfast %s ends with one line',
    async (verb, words) => {
      let whole: number;
      {
        await using proxy = await proxyOf(held);
        const dry = verb === 'answer' ? ['agent', 'r9', 'allow'] : words;
        const { code } = await started(held, verb, proxy.address, dry).ended;
        expect([0, 3]).toContain(code);
        await waitUntil(() => proxy.connections === 0 || undefined, 'the verb to be gone');
        whole = proxy.passedToClients;
      }
      // Within the greeting, in between, and before the last byte.
      for (const bytes of [1, Math.floor(whole / 2), whole - 1]) {
        await using proxy = await proxyOf(held, `stall ${bytes}`);
        const running = started(held, verb, proxy.address, words);
        let isOver = false;
        running.ended.then(() => {
          isOver = true;
        });
        await waitUntil(() => isOver || proxy.passedToClients >= bytes || undefined, 'the look to be in its middle');
        await proxy[Symbol.asyncDispose]();
        expectQuiet(verb, await running.ended);
      }
    },
  );
});

testNeeding(tmux)(
  'verbs that go on looking wait for a daemon that was killed, and then end with 1 and one line; top gives the terminal back',
  {},
  async () => {
    await using held = await startScene();
    const { daemon } = held;
    const words = [daemon.program, 'top', '--socket', daemon.socket, '--interval', '200ms'];
    using terminal = new TestTerminal(words, { columns: 80, rows: 24, env: daemon.env });
    const watching = [
      ['attach', 'runs'],
      ['logs', '-f', 'runs'],
      ['ps', '--watch', '100ms'],
      ['attention', '--watch'],
    ] as const;
    const all = watching.map(([verb, ...more]) => ({ verb, running: started(held, verb, daemon.socket, more) }));
    for (const { verb, running } of all) {
      await waitUntil(() => running.stdout() !== '' || undefined, `holdfast ${verb} to show something`);
    }
    await terminal.until(/3 of 3 sessions/);
    await daemon.kill();
    for (const { verb, running } of all) {
      const result = await running.ended;
      expect({ verb, code: result.code }).toEqual({ verb, code: 1 });
      expectQuiet(verb, result);
      expect(result.stderr).toMatch(new RegExp(`^holdfast ${verb}: .*nobody answers at `, 'm'));
    }
    await terminal.until(/^holdfast top: nobody answers at [\s\S]*\n\$$/m);
  },
);
