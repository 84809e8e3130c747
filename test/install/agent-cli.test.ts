/** The real agent CLI: installed by `-install`, run by a daemon, through a whole turn. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { connectTo, start } from '../support/host.ts';
import { waitUntil } from '../support/wait.ts';
import { fetchAgentCli } from './agent-cli.ts';
import { startModel } from './model-stand-in.ts';
import { serveHttp } from './servers.ts';
import { profiles, Workshop } from './support.ts';

let folder: string;
let claude: string;
let blob: string;

// Not skipped when the package cannot be had: the message says why, and the tests fail.
beforeAll(async () => {
  folder = mkdtempSync('/tmp/hf-');
  claude = await fetchAgentCli(folder);
  blob = join(folder, 'claude.zst');
  const level = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 } };
  await pipeline(
    createReadStream(claude, { highWaterMark: 1 << 20 }),
    createZstdCompress(level),
    createWriteStream(blob),
  );
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

test.each(profiles)(
  'profile %s: the agent CLI is downloaded, runs, and is the program that was packed',
  async (profile) => {
    const shop = new Workshop();
    const url = await serveHttp((_, answer) => {
      answer.setHeader('Content-Length', statSync(blob).size);
      createReadStream(blob).pipe(answer);
    });
    const words = ['-cli-version', '2.1.197', '-cli-url', url, '-cli-checksum', await sha256(blob)];
    const first = await shop.install(words, { profile });
    expect(first.facts).toMatchObject({ cliPath: shop.path('2.1.197'), cliWasPresent: false });
    expect(first.facts).not.toHaveProperty('cliError');
    expect(await sha256(shop.path('2.1.197'))).toBe(await sha256(claude));
    expect(shop.names()).toEqual(['2.1.197']);

    const second = await shop.install(['-cli-version', '2.1.197'], { profile });
    expect(second.facts).toMatchObject({ cliWasPresent: true });
    const probe = await runHoldfast(['-wire-profile', 'next', '-probe-cli', shop.path('2.1.197')], {
      env: cleanEnvironment(shop.home),
    });
    expect(probe).toMatchObject({ code: 0, stdout: '', stderr: '' });
  },
  60_000,
);

test('a daemon holds a session of it through a whole turn, with a tool', async () => {
  const shop = new Workshop();
  mkdirSync(shop.folder);
  const model = await startModel('echo tool-says-hi', 'The tool has spoken.');
  await using daemon = await startDaemon({ profile: 'next' });
  const installed = await shop.install(['-cli-version', '2.1.197', '-cli-zst', await copyOfBlob(shop)]);
  const cli = String(installed.facts.cliPath);

  await using client = await connectTo(daemon);
  const args = ['--print', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'];
  const temporary = join(shop.home, 'tmp');
  mkdirSync(temporary);
  const env = {
    HOME: shop.home,
    TMPDIR: temporary,
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_API_KEY: 'none',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    NO_PROXY: '*',
  };
  const turn = await start(client, 'turn', cli, args, { cwd: shop.home, env });
  const message = { role: 'user', content: 'Let the tool say hi.' };
  const line = { type: 'user', message, session_id: 'default', parent_tool_use_id: null };
  await turn.write(`${JSON.stringify(line)}\n`);

  const lines = () =>
    turn.stdout
      .split('\n')
      .slice(0, -1)
      .map((each) => JSON.parse(each));
  const result = await waitUntil(() => lines().find(({ type }) => type === 'result'), 'the result of the turn', {
    timeoutMs: 40_000,
  });
  expect(result).toMatchObject({ subtype: 'success', is_error: false, result: 'The tool has spoken.' });
  const said = lines().map(({ type, subtype, message: sent }) => ({
    type,
    subtype,
    text: JSON.stringify(sent?.content),
  }));
  expect(said[0]).toMatchObject({ type: 'system', subtype: 'init' });
  const at = (type: string, words: string) =>
    said.findIndex((each) => each.type === type && each.text?.includes(words));
  const order = [at('assistant', '"tool_use"'), at('user', 'tool-says-hi'), at('assistant', 'The tool has spoken.')];
  expect(order.every((index) => index > 0)).toBe(true);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(model.requests).toHaveLength(2);

  await turn.kill('SIGINT');
  expect(await turn.ended()).toMatchObject({ code: 0 });
}, 60_000);

/** The install consumes it. */
async function copyOfBlob(shop: Workshop): Promise<string> {
  const copy = join(shop.home, 'blob');
  await pipeline(createReadStream(blob), createWriteStream(copy));
  return copy;
}
