/** The page docs/agent.md as a newcomer follows it: the example server, an agent that runs cat, orders from the keyboard. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { settingTexts } from '../../../src/doors/agent/settings.ts';
import { runProgram } from '../../modes/run-program.ts';
import { installed, testNeeding } from '../../support/needs.ts';
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

const root = fileURLToPath(new URL('../../..', import.meta.url));
const examples = [...page.matchAll(/^```sh\n(.*?)^```\n\n```text\n(.*?)^```/gms)].map(
  ([, command = '', output = '']) => ({
    command,
    output,
  }),
);

testNeeding(installed('curl', 'curl'), installed('openssl', 'openssl'))(
  'each route of the page, typed by hand, answers as the page says',
  { timeout: 240_000 },
  async () => {
    expect(examples.length).toBeGreaterThan(5);
    const shown = examples.map(({ command }) => command).join();
    for (const [, method, route = ''] of page.matchAll(/^\| `(GET|POST) (\/[^`]*)`/gm)) {
      const typed = route.replace(/<\w+>/, '[^/ "]+').replace('?', '\\?');
      expect(shown, route).toMatch(new RegExp(`agent-request\\.sh ${method} ['"]?${typed}`));
    }
    const port = await freePort();
    const server = spawn(process.execPath, [example, String(port), 'my-agent-token'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      let printed = '';
      server.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
      });
      await waitUntil(() => printed.includes('listening'), 'the example server to listen', { timeoutMs: 60_000 });
      const env = { ...process.env, SERVER_URL: `http://127.0.0.1:${port}` };
      const type = async (command: string): Promise<string> =>
        (await runProgram('sh', ['-c', command], { cwd: root, env })).stdout;
      server.stdin.write('start one hello\n');
      await waitUntil(
        async () => (await type("docs/examples/agent-request.sh GET '/instructions?max=20'")).startsWith('200'),
        'the order to arrive',
        { timeoutMs: 60_000 },
      );
      for (const { command, output } of examples) {
        expect(normalized(await type(command)), command).toBe(normalized(output));
      }
    } finally {
      server.kill('SIGKILL');
    }
  },
);

/** The same text for what is another one each time. */
function normalized(text: string): string {
  return text
    .replace(/ins_\d+_/g, 'ins_<start>_')
    .replace(/"createdAt":"[^"]*"/g, '"createdAt":"<time>"')
    .replace(/ +$/gm, '')
    .trim();
}

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
