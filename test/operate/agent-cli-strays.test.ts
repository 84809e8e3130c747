/** What the real agent CLI leaves behind when it is killed: its tools run in sessions of their own, out of a group's reach. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentCliForTests } from '../install/agent-cli.ts';
import { startModel } from '../install/model-stand-in.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { type Held, startHeld, untilEndedSession, verb, verbJson } from './sessions.ts';

const cli = agentCliForTests();

/** The CLI in the middle of a turn: its tool runs. @returns the tool */
async function inTheMiddleOfATurn({ daemon, host }: Held, id: string): Promise<ProcessFacts> {
  const home = join(daemon.dir, id);
  mkdirSync(join(home, 'tmp'), { recursive: true });
  const told = join(home, 'pid');
  const model = await startModel(`echo $$ > ${told}.new && mv ${told}.new ${told} && sleep 3600`, 'never said');
  const session = await host.spawn({
    ...{ id, command: cli.program, cwd: home },
    args: [
      ...['--print', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'],
      ...['--allowedTools', 'Bash'],
    ],
    env: {
      HOME: home,
      TMPDIR: join(home, 'tmp'),
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_API_KEY: 'none',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      NO_PROXY: '*',
    },
  });
  const message = { role: 'user', content: 'Run the tool.' };
  const line = { type: 'user', message, session_id: 'default', parent_tool_use_id: null };
  const writer = session.stdin.getWriter();
  await writer.write(Buffer.from(`${JSON.stringify(line)}\n`));
  writer.releaseLock();
  await waitUntil(() => existsSync(told), 'the tool to run', { timeoutMs: 60_000 });
  const tool = processFacts(Number(readFileSync(told, 'utf8')));
  if (tool === undefined) {
    throw new Error('the tool has ended already');
  }
  return tool;
}

test('shows up in ps as strays, and is ended by release --tree and by reconcile --kill', {
  timeout: 240_000,
}, async () => {
  await using held = await startHeld({ profile: 'next', flags: ['-mark-children'] });
  const { daemon, host } = held;
  const tools = [await inTheMiddleOfATurn(held, 'released'), await inTheMiddleOfATurn(held, 'reconciled')] as const;
  for (const id of ['released', 'reconciled']) {
    await host.process.kill({ id, signal: 'KILL' });
    await untilEndedSession(host, id);
  }
  const rows = (await verbJson(daemon, 'ps')) as { id: string; strays: { pid: number }[] }[];
  for (const [index, id] of ['released', 'reconciled'].entries()) {
    const strays = rows.find((row) => row.id === id)?.strays.map(({ pid }) => pid);
    expect(strays).toContain(tools[index]?.pid);
  }
  expect((await verb(daemon, 'release', 'released', '--tree', '--yes')).code).toBe(0);
  await untilEnded(tools[0]);
  expect(isRunning(tools[1])).toBe(true);

  expect((await verb(daemon, 'reconcile')).code).toBe(5);
  const ended = await verbJson(daemon, 'reconcile', '--kill', '--yes');
  expect(ended).toContainEqual(expect.objectContaining({ verdict: 'orphan', pid: tools[1].pid, action: 'end' }));
  await untilEnded(tools[1]);
  expect((await verb(daemon, 'reconcile')).code).toBe(0);
});
