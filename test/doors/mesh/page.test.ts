/** docs/mesh.md as a newcomer follows it, from top to bottom: what each command prints is what the page shows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { meshTimings } from '../../../src/doors/mesh/timings.ts';
import { runProgram } from '../../modes/run-program.ts';
import { cleanEnvironment } from '../../support/holdfast.ts';
import { installed, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = readFileSync(join(root, 'docs/mesh.md'), 'utf8');
const folder = mkdtempSync('/tmp/hfm-');
const env = cleanEnvironment(folder, { PATH: `${dirname(process.execPath)}:${process.env.PATH}` });
const started: ChildProcess[] = [];

/** The two commands of the page, in blocks that are indented. */
const commands = [...page.matchAll(/^ {4}((?:node docs\/examples\/mesh-broker|for name in alice bob).*)$/gm)].map(
  ([, command = '']) => command,
);
const examples = [...page.matchAll(/^```sh\n(.*?)^```\n\n```(?:json|text)\n(.*?)^```/gms)].map(
  ([, command = '', output = '']) => ({ command, output, first: command.trim().split('\n').at(-1) ?? '' }),
);

let port = 0;
/** A command of the page, in folders and at a port of the test's own. */
const here = (command: string): string => command.replaceAll('/tmp/mesh', folder).replaceAll('7900', String(port));

function start(command: string): ChildProcess {
  const child = spawn('sh', ['-c', `${here(command)}\nwait`], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  return child;
}

/** The same text for everything that is another one each time. */
function normalized(text: string): string {
  return asOneLineEach(text.replaceAll(folder, '/tmp/mesh'))
    .replace(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<uuid>')
    .replace(/\b[0-9a-f]{64}\b/g, '<key>')
    .replace(/"sender_name":"[0-9a-f]{8}"/g, '"sender_name":"<name>"')
    .replace(/"daemon_fingerprint_prefix":"[0-9a-f]{16}"/g, '"daemon_fingerprint_prefix":"<prefix>"')
    .replace(/"broker_message_id":"[\w-]{32}"/g, '"broker_message_id":"<id>"')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')
    .replace(/\bpid"?[ :]\d+/g, '<pid>');
}

/** JSON that the formatter of the page has spread out, and answers that follow each other without a newline. */
function asOneLineEach(text: string): string {
  let compact = text;
  try {
    compact = JSON.stringify(JSON.parse(text));
  } catch {
    // Several answers, or none that is JSON.
  }
  return compact.replaceAll('}{', '}\n{').trim();
}

beforeAll(async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  port = (probe.address() as AddressInfo).port;
  await new Promise((resolve) => probe.close(resolve));
});

afterAll(async () => {
  for (const name of ['alice', 'bob']) {
    const down = ['mesh', 'down'];
    await runProgram('bin/holdfast', down, { cwd: root, env: { ...env, CLAUDEMESH_CONFIG_DIR: join(folder, name) } });
  }
  for (const child of started) {
    child.kill('SIGKILL');
  }
  rmSync(folder, { recursive: true, force: true });
});

describe('the page', () => {
  test('has two commands that set everything up, and shows each route', async () => {
    expect(commands).toHaveLength(2);
    for (const path of [
      'version',
      'health',
      'send',
      'outbox',
      'outbox/requeue',
      'inbox',
      'events',
      'peers',
      'profile',
    ]) {
      expect(
        examples.some(({ command }) => command.includes(`http://localhost/v1/${path}`)),
        path,
      ).toBe(true);
    }
    let printed = '';
    const [brokerCommand = '', daemonsCommand = ''] = commands;
    start(`exec ${brokerCommand}`)
      .stdout?.setEncoding('utf8')
      .on('data', (text: string) => {
        printed += text;
      });
    await waitUntil(() => printed.includes('# CLAUDEMESH_CONFIG_DIR='), 'the broker to listen');
    start(daemonsCommand);
    await waitUntil(() => ['alice', 'bob'].every((name) => printed.includes(`# ${name} is connected`)), printed);
  });

  for (const [index, { command, output, first }] of examples.entries()) {
    testNeeding(installed('curl', 'curl'))(`example ${index + 1}: ${first.slice(0, 90)}`, {}, async () => {
      const run = async (): Promise<string> =>
        normalized((await runProgram('sh', ['-c', here(command)], { cwd: root, env })).stdout);
      const expected = normalized(output);
      // What is only read may be asked for again: the other daemon gets a message in its own time.
      const seen = changesNothing(command)
        ? await waitUntil(async () => (await run()) === expected && expected, `\n${output}`).catch(run)
        : await run();
      expect(seen).toBe(expected);
      await settled();
    });
  }
});

const changesNothing = (command: string): boolean => !/ -d |daemon (?:down|up)|claudemesh send/.test(command);

/** What was sent has arrived, or is dead; without daemons there is nothing to wait for. */
async function settled(): Promise<void> {
  await waitUntil(async () => {
    const { code, stdout } = await runProgram('bin/holdfast', ['mesh', 'outbox', '--json'], {
      cwd: root,
      env: { ...env, CLAUDEMESH_CONFIG_DIR: join(folder, 'alice') },
    });
    return code !== 0 || !/"status":"(?:pending|inflight)"/.test(stdout);
  }, 'messages to be sent');
}

test('every refusal that the page explains is one of the program', () => {
  const source = globSync('src/doors/mesh/**/*.ts', { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  const [, rows = ''] = /^## What a refusal means\n(.*?)^## /ms.exec(page) ?? [];
  const texts = [...rows.matchAll(/^\| (`.*?) +\|/gm)].flatMap(([, cell = '']) =>
    Array.from(cell.matchAll(/`([^`]+)`/g), ([, text = '']) => text),
  );
  expect(texts.length).toBeGreaterThan(10);
  expect(texts.filter((text) => !source.includes(text))).toEqual([]);
});

test('the verbs, the files and the limits on the page are those of the program', () => {
  const usage = readFileSync(join(root, 'src/doors/mesh/command-line.ts'), 'utf8');
  const verbs = /usage: claudemesh daemon \[([\w|-]+)\]/.exec(usage)?.[1]?.split('|') ?? [];
  expect(verbs.filter((verb) => !page.includes(`claudemesh daemon ${verb}`))).toEqual([]);
  expect(verbs.length).toBeGreaterThan(7);
  expect(page).toContain(`\`: keepalive\` comes every ${meshTimings.keepaliveMs / 1000} s`);
  expect(page).toContain(`Messages stay for ${meshTimings.inboxKeptMs / 86_400_000} days`);
  expect(page).toContain(`it is older than ${meshTimings.maxAgeMs / 86_400_000} days`);
});
