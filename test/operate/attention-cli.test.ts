/** `holdfast attention` and `holdfast answer` with the real agent CLI, offline, and a daemon that is started anew in between. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentCliForTests } from '../install/agent-cli.ts';
import { startModel } from '../install/model-stand-in.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';

const cli = agentCliForTests();

const patience = { timeoutMs: 60_000 };
const message = {
  ...{ type: 'user', message: { role: 'user', content: 'Make the file.' } },
  ...{ session_id: 'default', parent_tool_use_id: null },
};

test('the agent waits for a permission, is allowed to by `answer` after a restart of the daemon, and ends its turn', {
  timeout: 180_000,
}, async () => {
  const made = join(cli.folder, 'made');
  const model = await startModel(`touch ${made}`, 'It is made.');
  await using daemon = await startDaemon({ flags: ['-durable'] });
  const home = join(cli.folder, 'cli-home');
  mkdirSync(join(home, 'tmp'), { recursive: true });
  const stream = ['--input-format', 'stream-json', '--output-format', 'stream-json'];
  await using host = await connectTo(daemon);
  const session = await host.spawn({
    id: 'agent',
    command: cli.program,
    args: ['--print', ...stream, '--verbose', '--permission-prompt-tool', 'stdio'],
    cwd: home,
    env: {
      ...{ HOME: home, TMPDIR: join(home, 'tmp'), NO_PROXY: '*', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' },
      ...{ ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'none' },
    },
  });
  await session.write(`${JSON.stringify(message)}\n`);
  await session.detach();

  const waiting = async () => {
    const { code, stdout } = await daemon.run(['attention', '--socket', daemon.socket, '--json']);
    expect(code).toBe(0);
    return expectSchema('attention', stdout) as readonly { readonly requestId: string; readonly tool: string }[];
  };
  const [request] = await waitUntil(
    async () => {
      const found = await waiting();
      return found.length > 0 && found;
    },
    'the agent to ask',
    patience,
  );
  expect(request).toMatchObject({ tool: 'Bash', input: expect.stringContaining(`touch ${made}`) });
  const { requestId = '' } = request ?? {};

  await daemon.kill();
  await daemon.start();
  expect(await waiting()).toEqual([expect.objectContaining({ requestId })]);
  const answer = () => daemon.run(['answer', '--socket', daemon.socket, 'agent', requestId, 'allow']);
  const answers = await Promise.all([answer(), answer()]);
  expect(answers.map(({ code }) => code).sort()).toEqual([0, 4]);

  const logs = () => daemon.run(['logs', '--socket', daemon.socket, 'agent']);
  const output = await waitUntil(
    async () => {
      const { stdout } = await logs();
      return /"type":"result"/.test(stdout) && stdout;
    },
    'the turn to end',
    patience,
  );
  expect(output).toContain('"result":"It is made."');
  expect(existsSync(made)).toBe(true);
  expect(await waiting()).toEqual([]);
  expect((await answer()).code).toBe(4);
});
