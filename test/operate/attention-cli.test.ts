/** `holdfast attention` and `holdfast answer` with the real agent CLI, offline, and a daemon that is started anew in between. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { agentCliForTests } from '../install/agent-cli.ts';
import { startModel } from '../install/model-stand-in.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';

const cli = agentCliForTests();

const patience = { timeoutMs: 60_000 };
const message = {
  ...{ type: 'user', message: { role: 'user', content: 'Make the file.' } },
  ...{ session_id: 'default', parent_tool_use_id: null },
};

interface ShownRow {
  readonly requestId: string;
  readonly since: number;
  readonly shownAt: number;
}

/** A watcher that answers each request, once `go` is there with its id, and writes the exit code of its answer to `told`. */
function startWatcher(daemon: TestDaemon, go: string, told: string): { readonly rows: readonly ShownRow[] } {
  const answer = `'${program}' answer --socket '${daemon.socket}' agent "$(cat '${go}')" allow`;
  const script = join(daemon.dir, 'answer.sh');
  writeFileSync(script, `until [ -s '${go}' ]; do sleep 0.05; done\n${answer}\necho $? >>'${told}'\n`);
  const words = ['attention', '--socket', daemon.socket, '--watch', '--json', '--exec', `sh ${script}`];
  const child = spawn(program, words, { env: daemon.env, stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const rows: ShownRow[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    rows.push({ ...JSON.parse(line), shownAt: Date.now() });
  });
  return { rows };
}

test('the agent waits for a permission, two watchers answer at once after a restart of the daemon, one is heard, and the turn ends', {
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
  const [go, told] = ['go', 'told'].map((name) => join(daemon.dir, name)) as [string, string];
  const watchers = [0, 1].map(() => startWatcher(daemon, go, told));
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

  for (const { rows } of watchers) {
    const { since, shownAt } = await waitUntil(
      () => rows.find((row) => row.requestId === requestId),
      'both to show it',
      patience,
    );
    // Whoever watches looks every 400 ms; how late it was is told, because a test must not depend on time.
    console.log(`attention --watch: shown ${shownAt - since} ms after the agent has asked`);
  }

  await daemon.kill();
  await daemon.start();
  expect(await waiting()).toEqual([expect.objectContaining({ requestId })]);
  writeFileSync(go, requestId);
  const codes = await waitUntil(
    () => {
      const found = existsSync(told) ? readFileSync(told, 'utf8').trim().split('\n') : [];
      return found.length === 2 && found;
    },
    'both watchers to have answered',
    patience,
  );
  expect(codes.sort()).toEqual(['0', '4']);

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
  const late = await daemon.run(['answer', '--socket', daemon.socket, 'agent', requestId, 'allow']);
  expect(late.code).toBe(4);
});
