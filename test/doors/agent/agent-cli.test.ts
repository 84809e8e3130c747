/** The real agent CLI behind the polling door, offline: start, commands, end, and on with the same conversation. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentCliForTests } from '../../install/agent-cli.ts';
import { startModel } from '../../install/model-stand-in.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestAgent } from './test-agent.ts';

const cli = agentCliForTests();

interface Line {
  readonly type: string;
  readonly subtype?: string;
  readonly session_id?: string;
  readonly result?: string;
}

function linesOf(agent: TestAgent, sessionId: string): readonly Line[] {
  const text = agent.server.session(sessionId).text();
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

function results(agent: TestAgent, sessionId: string, count: number): Promise<readonly Line[]> {
  return waitUntil(
    () => {
      const found = linesOf(agent, sessionId).filter(({ type }) => type === 'result');
      return found.length >= count && found;
    },
    `${count} results of ${sessionId}`,
    { timeoutMs: 60_000 },
  );
}

test('a turn with a tool, a second command, the end, and a new session that goes on with it', async () => {
  const model = await startModel('echo tool-says-hi', 'The tool has spoken.');
  const home = join(cli.folder, 'cli-home');
  mkdirSync(join(home, 'tmp'), { recursive: true });
  const env = {
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_API_KEY: 'none',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    NO_PROXY: '*',
  };
  await using agent = await TestAgent.start({ settings: { claudeCommand: cli.program, inputFormat: 'stream-json' } });
  const { server } = agent;
  server.order('start', 'start_session', 's', { prompt: 'Let the tool say hi.', env });
  expect(await agent.acknowledged('start')).toMatchObject({ result: 'done' });
  expect(await results(agent, 's', 1)).toMatchObject([{ subtype: 'success', result: 'The tool has spoken.' }]);
  server.order('second', 'command', 's', { command: 'And again.' });
  await results(agent, 's', 2);
  const conversation = linesOf(agent, 's').find(({ subtype }) => subtype === 'init')?.session_id ?? '';
  expect(conversation).toMatch(/^[0-9a-f-]{36}$/);
  server.order('end', 'terminate_session', 's', { gracePeriod: 10_000 });
  expect(await agent.acknowledged('end')).toMatchObject({ result: 'done' });
  expect(await agent.exit('s')).toMatchObject({ exitCode: 0 });
  const before = model.requests.length;
  server.order('resume', 'start_session', 't', { prompt: 'Where were we?', resume: conversation, env });
  await results(agent, 't', 1);
  expect(JSON.stringify(model.requests.slice(before))).toContain('Let the tool say hi.');
}, 120_000);
