/** The page docs/agent.md as a newcomer follows it: the example server, an agent that runs cat, orders from the keyboard. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { settingTexts } from '../../../src/doors/agent/settings.ts';
import { waitUntil } from '../../support/wait.ts';
import { StandInServer } from './stand-in-server.ts';
import { TestAgent } from './test-agent.ts';

const page = readFileSync(new URL('../../../docs/agent.md', import.meta.url), 'utf8');
const example = fileURLToPath(new URL('../../../docs/examples/agent-server.mjs', import.meta.url));

test('the example server shows the whole loop', async () => {
  expect(page).toContain('node docs/examples/agent-server.mjs 3000 my-agent-token');
  expect(page).toMatch(/AGENT_TOKEN=my-agent-token CLAUDE_COMMAND=cat INPUT_FORMAT=text bin\/holdfast agent/);
  const port = await freePort();
  const start = () =>
    spawn(process.execPath, [example, String(port), 'my-agent-token'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let server = start();
  let printed = '';
  const read = (): void => {
    server.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  };
  read();
  const shows = (text: string | RegExp): Promise<unknown> =>
    waitUntil(() => new RegExp(text).test(printed), `${text} in what the server prints`, { timeoutMs: 60_000 });
  try {
    await shows('listening');
    // Only its url and token are used.
    await using unused = await StandInServer.start({ token: 'my-agent-token' });
    await using agent = new TestAgent(unused, {
      settings: { serverUrl: `http://127.0.0.1:${port}`, claudeCommand: 'cat' },
    });
    agent.launch();
    server.stdin.write('start one hello\n');
    await shows(/# ins_\d+_1 done/);
    await shows('hello\n');
    await agent.killed();
    server.stdin.write('say one again\n');
    agent.launch();
    await shows('again\n');
    expect(printed.match(/^hello$/gm)).toHaveLength(1);
    expect(printed.match(/^again$/gm)).toHaveLength(1);
    // It has forgotten everything then, and is told it again; its orders are new ones.
    server.kill('SIGKILL');
    printed = '';
    server = start();
    read();
    await shows('listening');
    server.stdin.write('say one third\n');
    await shows('hello\nagain\nthird\n');
    server.stdin.write('end one\n');
    // By the end of its input or by INT, whichever it sees first.
    await shows(/# one has ended: (0|SIGINT)/);
  } finally {
    server.kill('SIGKILL');
  }
}, 240_000);

test('the page has a row for every setting, with its variable', () => {
  for (const [name, variable] of settingTexts) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\``));
    expect(row, name).toBeDefined();
    expect(row).toContain(variable === '' ? 'none' : `\`${variable}\``);
  }
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
