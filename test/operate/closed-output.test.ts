/** A reader that goes away (`| head -1`) ends a verb without a word (spec operators.md). */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CommandName, commandNames } from '../../src/operate/commands/table.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { type Held, spawnShell, startHeld, untilEndedSession } from './sessions.ts';

const asks = JSON.stringify({
  ...{ type: 'control_request', request_id: 'r1' },
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make' } },
});

async function startScene(): Promise<Held> {
  const held = await startHeld();
  const { host } = held;
  const [command, args] = fixture('asking-agent.ts', '', asks);
  await host.spawn({ id: 'agent', command, args });
  await spawnShell(host, 'lines', 'seq 1 20000');
  await untilEndedSession(host, 'lines');
  await spawnShell(host, 'writes', 'while echo x; do sleep 0.1; done');
  return held;
}

type Words = readonly string[];

/** Verbs that ask no daemon. */
const noDaemon: readonly CommandName[] = ['config', 'licenses', 'service', 'completion'];

/** What is asked of each verb, twice. */
const lines: Readonly<Record<CommandName, readonly Words[]>> = {
  // Both are below, with what is another for them.
  run: [],
  attach: [['lines'], ['writes']],
  logs: [['lines'], ['--json', 'lines'], ['-f', 'writes']],
  top: [['--once'], ['--json']],
  attention: [[], ['--json']],
  answer: [],
  ps: [[], ['--json'], ['--watch', '100ms']],
  reconcile: [[], ['--json'], ['--adopt']],
  why: [['lines'], ['--json', 'lines']],
  release: [['--all', '--dry-run']],
  status: [[], ['--json']],
  token: [[], ['--json']],
  doctor: [[], ['--json']],
  config: [[], ['--json']],
  // From source it prints nothing; the texts of the executable are printed like any other.
  licenses: [],
  service: [['install', '--print']],
  completion: [['bash'], ['bash', '--', 'holdfast', '']],
  // It needs another host, and prints like `upgrade`.
  deploy: [],
  upgrade: [['--check'], ['--check', '--json']],
};

interface End {
  readonly words: string;
  readonly code: number | null;
  readonly errors: string;
}

function ended({ daemon }: Held, words: string, script: string, args: Words, closes: boolean): Promise<End> {
  const child = spawn('bash', ['-c', script, 'bash', ...args], { env: daemon.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  if (closes) {
    child.stdout.destroy();
  } else {
    child.stdout.resume();
  }
  child.stderr.on('data', (bytes: Buffer) => {
    errors += String(bytes);
  });
  return new Promise((resolve) => {
    child.on('close', (code) => {
      // `logs` and `attach` always tell on stderr how far they came, and `attach` that the program has ended.
      const said = errors.replace(/^(?:last seq \d+|holdfast attach: the program has ended: 0)\n/gm, '');
      resolve({ words, code, errors: said });
    });
  });
}

test('every verb is asked', () => {
  expect(Object.keys(lines).sort()).toEqual([...commandNames].sort());
});

describe('a verb whose reader has gone ends with 0 and says nothing, before the first byte or behind the first line:', () => {
  let held: Held;
  beforeAll(async () => {
    held = await startScene();
  });
  afterAll(async () => {
    await held[Symbol.asyncDispose]();
  });

  const rows = Object.entries(lines).flatMap(([name, all]) => all.map((more) => [name, ...more]));
  test.each(rows.map((words) => [words.join(' '), words] as const))('%s', async (shown, [name = '', ...more]) => {
    const at = noDaemon.some((each) => each === name) ? [] : ['--socket', held.daemon.socket];
    const run = [program, name, ...at, ...more];
    const found = await Promise.all([
      ended(held, `${shown} | true`, 'exec "$@"', run, true),
      ended(held, `${shown} | head -1`, '"$@" | head -1; exit $PIPESTATUS', run, false),
    ]);
    expect(found).toEqual([
      { words: `${shown} | true`, code: 0, errors: '' },
      { words: `${shown} | head -1`, code: 0, errors: '' },
    ]);
  });

  test('answer', async () => {
    const answer = ['answer', '--socket', held.daemon.socket, 'agent', 'r1', 'allow'];
    expect(await ended(held, '', 'exec "$@"', [program, ...answer], true)).toMatchObject({ code: 0, errors: '' });
  });

  test('run, which is ended as its program is: 128 and the number of PIPE', async () => {
    const run = ['run', '--socket', held.daemon.socket, '--', 'seq', '1', '20000'];
    expect(await ended(held, '', 'exec "$@"', [program, ...run], true)).toMatchObject({ code: 141, errors: '' });
  });
});
