/** Every verb with `--json`: one document, or one a line, as its schema in docs/schemas says (spec operators.md). */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandRow } from '../../src/operate/commands/row.ts';
import { commandNames, commands } from '../../src/operate/commands/table.ts';
import { fixture } from '../support/fixtures.ts';
import { expectSchema, schemaNames } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';
import { follow } from './running.ts';
import { type Held, spawnLeaver, spawnShell, startHeld, untilEndedSession } from './sessions.ts';

const asks = JSON.stringify({
  ...{ type: 'control_request', request_id: 'r1' },
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make' } },
});

/** What is asked for, the schema of the answer, and whether each line is a document. */
interface Ask {
  readonly words: readonly string[];
  readonly schema: string;
  readonly lines?: true;
  /** It is about no daemon. */
  readonly isLocal?: true;
}

const file = 'bad.conf';
/** A text says why a verb has no JSON, or where it is shown. */
const asked: Readonly<Record<string, readonly Ask[] | string>> = {
  run: 'its standard output is that of the command',
  attach: [{ words: ['over'], schema: 'frame', lines: true }],
  logs: [
    { words: ['over'], schema: 'frame', lines: true },
    { words: ['bytes'], schema: 'frame', lines: true },
  ],
  top: [{ words: [], schema: 'ps' }],
  attention: [{ words: [], schema: 'attention' }],
  answer: [
    { words: ['agent', 'r1', 'allow'], schema: 'answer' },
    { words: ['agent', 'r1', 'allow'], schema: 'answer' },
  ],
  ps: [
    { words: ['--all'], schema: 'ps' },
    { words: ['--tree'], schema: 'ps' },
  ],
  reconcile: [
    { words: [], schema: 'reconcile' },
    { words: ['--adopt'], schema: 'reconcile' },
  ],
  why: [
    { words: ['over'], schema: 'why' },
    { words: ['bytes'], schema: 'why' },
    { words: ['nothing'], schema: 'why' },
  ],
  release: [
    { words: ['--all', '--tree', '--dry-run'], schema: 'release' },
    { words: ['over', '--yes'], schema: 'release' },
  ],
  status: [{ words: [], schema: 'status' }],
  token: [{ words: [], schema: 'token' }],
  doctor: [{ words: [], schema: 'doctor' }],
  config: [{ words: [], schema: 'config', isLocal: true }],
  'config check': [{ words: [file], schema: 'config-check', isLocal: true }],
  licenses: 'its text is that of the licences; --sbom is JSON of CycloneDX',
  service: 'it is nothing without its second word',
  'service install': [
    { words: ['--dry-run'], schema: 'service', isLocal: true },
    { words: ['--print'], schema: 'service', isLocal: true },
    { words: [], schema: 'service', isLocal: true },
  ],
  'service status': [{ words: [], schema: 'service', isLocal: true }],
  'service remove': [
    { words: ['--dry-run'], schema: 'service', isLocal: true },
    { words: [], schema: 'service', isLocal: true },
    { words: [], schema: 'service', isLocal: true },
  ],
  'service start': 'it prints nothing',
  completion: 'its standard output is read by a shell',
  deploy: 'test/deploy/deploy.test.ts',
  upgrade: 'test/deploy/upgrade.test.ts',
};
/** Parts of others. */
const parts = ['process', 'session'];

const rows: readonly (readonly [string, CommandRow])[] = commandNames.flatMap((name) => {
  const row: CommandRow = commands[name];
  const below = Object.entries(row.subcommands ?? {}).map(([sub, each]) => [`${name} ${sub}`, each] as const);
  return [[name, row] as const, ...below];
});

test('every verb that has --json is asked for it, and every schema is that of one', () => {
  const hasJson = ({ options }: CommandRow): boolean => options.some(({ flags }) => flags === '--json');
  const shown = Object.entries(asked).filter(([, how]) => typeof how !== 'string' || how.startsWith('test/'));
  expect(shown.map(([name]) => name).sort()).toEqual(
    rows
      .filter(([, row]) => hasJson(row))
      .map(([name]) => name)
      .sort(),
  );
  expect(Object.keys(asked).sort()).toEqual(rows.map(([name]) => name).sort());
  const schemas = Object.entries(asked).flatMap(([name, how]) =>
    typeof how === 'string' ? name : how.map(({ schema }) => schema),
  );
  expect(schemaNames.filter((name) => !parts.includes(name) && !schemas.includes(name))).toEqual([]);
});

describe('as its schema says:', () => {
  let held: Held;
  beforeAll(async () => {
    held = await startHeld({ flags: ['-mark-children'], profile: 'next' });
    const { daemon, host } = held;
    const [command, args] = fixture('asking-agent.ts', '', asks);
    await host.spawn({ id: 'agent', command, args });
    await spawnShell(host, 'over', 'echo out; echo err >&2; exit 3');
    await spawnShell(host, 'bytes', 'echo x; printf "\\377\\376"; kill -KILL $$');
    await untilEndedSession(host, 'over');
    await untilEndedSession(host, 'bytes');
    await spawnLeaver(host, 'leaver');
    await host.process.kill({ id: 'leaver', signal: 'KILL' });
    await untilEndedSession(host, 'leaver');
    await spawnShell(host, 'runs', 'echo x; sleep 3600');
    await waitUntil(
      async () => (await host.sessions()).every(({ outBytes }) => outBytes > 0) || undefined,
      'every session to have written',
    );
    // In the place of the service manager of this machine.
    writeFileSync(join(daemon.dir, 'systemctl'), '#!/bin/sh\necho Active: active\n', { mode: 0o755 });
    daemon.env.PATH = `${daemon.dir}:${daemon.env.PATH}`;
    writeFileSync(join(daemon.dir, file), 'wire-profil = next\ndetached-ttl = 12h\n');
  });
  afterAll(async () => {
    await held[Symbol.asyncDispose]();
  });

  const documented = Object.entries(asked).flatMap(([name, how]) =>
    typeof how === 'string' ? [] : how.map((ask) => [`${name} ${ask.words.join(' ')}`, name, ask] as const),
  );
  test.each(documented)('%s', async (_, name, { words, schema, lines, isLocal }) => {
    const { daemon } = held;
    const at = isLocal === true ? [] : ['--socket', daemon.socket];
    const { stdout } = await daemon.runIn(daemon.dir, [...name.split(' '), ...at, '--json', ...words]);
    expect(stdout).toMatch(/\n$/);
    const documents = lines === true ? stdout.trimEnd().split('\n') : [stdout];
    for (const document of documents) {
      expectSchema(schema, document);
    }
    expect(documents.length).toBeGreaterThan(lines === true ? 1 : 0);
  });

  test('attention --watch and ps --watch: a document a line', async () => {
    const { daemon, host } = held;
    const [command, args] = fixture('asking-agent.ts', '', asks);
    await host.spawn({ id: 'second', command, args });
    for (const [words, schema] of [
      [['attention', '--watch'], undefined],
      [['ps', '--watch', '100ms'], 'ps'],
    ] as const) {
      const [verb = '', ...more] = words;
      const watch = follow(
        spawn(daemon.program, [verb, '--socket', daemon.socket, '--json', ...more], { env: daemon.env }),
      );
      await waitUntil(() => watch.stdout().includes('\n') || undefined, `holdfast ${verb} to show something`);
      const [line = ''] = watch.stdout().split('\n');
      // A line of `attention --watch` is a row of what it shows without.
      expectSchema(schema ?? 'attention', schema === undefined ? `[${line}]` : line);
      watch.child.kill('SIGTERM');
      await watch.ended;
    }
  });
});
