/**
 * No request can crash the daemon: random and mutated lines against the real one (fast-check). A failure prints the seed
 * and the smallest batch of lines that shows it. Lines made at random also delete files at random, by the contract
 * (`files.extract_tar` takes its archive away), so the daemon runs where it can harm nothing.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { TestDaemon } from '../support/daemon.ts';
import * as needs from '../support/needs.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { byLength, limitMs } from './support/length.ts';
import { startHarmlessDaemon } from './support/read-only-world.ts';

const batches = byLength(400, 20_000);
const lineLimit = 1_048_575;

/** Every method but `server.shutdown`, whose whole purpose is to end the daemon. */
const methods = [
  'server.ping',
  'server.version',
  'server.capabilities',
  'files.list',
  'files.validate',
  'files.stat',
  'files.read',
  'files.extract_tar',
  'git.info',
  'git.status',
  'git.list_branches',
  'git.worktree_create',
  'git.worktree_remove',
  'process.spawn',
  'process.stdin',
  'process.kill',
  'process.killAndWait',
  'process.reattach',
  'plugins.prune',
  'holdfast.describe',
  'holdfast.sessions',
  'holdfast.watch',
  'holdfast.observe',
  'holdfast.unobserve',
  'holdfast.closeStdin',
  'holdfast.release',
];

const test = needs.testNeeding(needs.linux, needs.privateMounts());

describe.each(['S', 'current'] as const)('profile %s', (profile) => {
  test('no batch of random and mutated lines ends the daemon, and a ping after it is always answered', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startHarmlessDaemon({ profile });
    const folder = join(daemon.dir, 'files');
    mkdirSync(folder);
    writeFileSync(join(folder, 'file'), 'content\n');
    const pid = daemon.pid();
    await using bystander = await connectRaw(daemon);
    await bystander.spawn('bystander', 'cat');

    await fc.assert(
      fc.asyncProperty(fc.array(anyLine(daemon, folder), { maxLength: 12 }), fc.nat(4000), async (lines, cut) => {
        await using client = await connectRaw(daemon);
        await sendInPieces(client, Buffer.concat(lines.flatMap((line) => [line, newline])), cut);
        await client.call('server.ping');
        expect(client.strays.filter((line) => !line.startsWith('{"type":"holdfast",'))).toEqual([]);
        expect(bystander.strays).toEqual([]);
        expect(await bystander.call('server.ping')).toEqual({ pong: true });
      }),
      { numRuns: batches },
    );

    expect(daemon.pid()).toBe(pid);
    expect(daemon.log()).not.toContain('recovered panic');
    await bystander.stdin('bystander', 'undisturbed\n');
    await bystander.untilOutput('bystander', 'undisturbed\n');
  });

  test('every line without a right token gets exactly one error, in the order of the lines', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startHarmlessDaemon({ profile });
    const folder = join(daemon.dir, 'files');
    await fc.assert(
      fc.asyncProperty(fc.array(strangersLine(folder), { maxLength: 12 }), async (lines) => {
        await using client = await connectRaw(daemon);
        for (const { line } of lines) {
          client.sendLine(line);
        }
        await client.call('server.ping');
        expect(client.lines.slice(0, -1)).toEqual(lines.map(({ reply }) => reply));
      }),
      { numRuns: batches },
    );
  });
});

const newline = Buffer.from('\n');

/** One line in the daemon's direction, mutated or not; never over the cap, which would rightly close the connection. */
function anyLine(daemon: TestDaemon, folder: string): fc.Arbitrary<Buffer> {
  const request = requestLine(folder, mostly(fc.constant(daemon.token), fc.constantFrom('wrong', '')));
  return fc
    .oneof(
      { weight: 12, arbitrary: request.map((text) => Buffer.from(text)) },
      { weight: 4, arbitrary: fc.tuple(request, fc.array(mutation(), { minLength: 1, maxLength: 3 })).map(mutate) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4096 }).map((bytes) => Buffer.from(bytes)) },
      { weight: 1, arbitrary: fc.json({ maxDepth: 8 }).map((text) => Buffer.from(text)) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(
            fc.constantFrom('[', '{"a":', '[[', '"', '\\u', '1e', '-', '\ufeff', '0'),
            fc.integer({ min: 1, max: 20_000 }),
          )
          .map(([piece, times]) => Buffer.from(piece.repeat(times))),
      },
    )
    .map((bytes) => bytes.subarray(0, lineLimit));
}

/** A request of the right form with fields of every kind: as declared, of another type, at the borders, absent. */
function requestLine(folder: string, auth: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const path = fc.constantFrom(
    folder,
    join(folder, 'file'),
    join(folder, 'none'),
    join(folder, '..', 'files', '..', 'files'),
    'relative',
    '',
    '~',
    '/proc/self/status',
    `${folder}/\0x`,
    `${folder}/${'n'.repeat(300)}`,
    `${folder}/\ud800`,
  );
  const id = fc.constantFrom('a', 'b', 'c', '', '<&>', '\u2028', '\ud83d\ude00', 'i'.repeat(70_000));
  const fields: Record<string, fc.Arbitrary<unknown>> = {
    id,
    command: fc.constantFrom('true', 'cat', 'sh', 'nope-command', '', '/', folder, 'true\0'),
    args: fc.oneof(
      fc.constantFrom([], ['-c', 'exit 3'], ['-c', 'echo x; echo y >&2'], ['\0'], [null], ['x'.repeat(140_000)]),
      fc.array(fc.constantFrom('--session-id', 'k', '--resume=k', '--input-format=stream-json', '--fork-session')),
    ),
    cwd: path,
    env: fc.dictionary(fc.constantFrom('A', 'PATH', '', '=', 'CLAUDE_RPC_TOKEN', 'B\0'), fc.string()),
    wantPid: fc.boolean(),
    data: fc.oneof(fc.base64String(), fc.string(), fc.constant('=')),
    offset: fc.oneof(fc.nat(40), fc.bigInt({ min: -1n, max: 2n ** 64n }), fc.double()),
    fromSeq: fc.oneof(fc.nat(40), fc.bigInt({ min: -1n, max: 2n ** 64n })),
    signal: fc.constantFrom('TERM', 'SIGKILL', 'INT', 'HUP', 'QUIT', '', '9'),
    timeoutMs: fc.oneof(fc.integer({ min: -1, max: 50 }), fc.constant(-(2n ** 63n)), fc.constant(2n ** 63n)),
    escalate: fc.boolean(),
    // Never `all` of `holdfast.release`: it would end the bystander's process too, and rightly.
    events: fc.boolean(),
    ifAbsent: fc.boolean(),
    door: fc.constantFrom('agent', '', 'd'.repeat(33)),
    path,
    maxBytes: fc.oneof(fc.integer(), fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n })),
    archivePath: path,
    destDir: path,
    baseRepo: path,
    worktreePath: path,
    worktreeRoot: path,
    branchName: fc.constantFrom('main', '-x', '..', '', 'a b'),
    sourceBranch: fc.constantFrom('main', '-x', '..', '', 'a b'),
  };
  const ofAnyType = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constant(null));
  const params = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record(
        Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, mostly(value, ofAnyType)])),
        { requiredKeys: [] },
      ),
    },
    { weight: 1, arbitrary: ofAnyType },
  );
  // Ids of our pings are numbers counted up from 1; what the property sends is a text or far away from them.
  const requestId = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.constantFrom(1e21, -0, 0.5, null, true),
    ofAnyType.map((value) => ({ value })),
  );
  const method = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...methods) },
    { weight: 12, arbitrary: fc.constantFrom(...methods.filter((name) => /^(process|holdfast)\./.test(name))) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        '.',
        'server.',
        'nope.x',
        'process.nope',
        'ping',
        'toString.x',
        '__proto__.x',
        'server.constructor',
      ),
    },
  );
  return fc
    .tuple(requestId, method, fc.option(params), auth, mostly(fc.constant('2.0'), fc.constantFrom('1.0', '')))
    .map(([id, method, params, auth, jsonrpc]) =>
      stringify({ jsonrpc, id, method, ...(params === null ? {} : { params }), auth }),
    );
}

/** Requests with several things wrong at once only show the first test of the order; one in forty is enough. */
function mostly<T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: wrong });
}

/** `JSON.stringify` with integers of any size. */
function stringify(value: unknown): string {
  if (typeof value === 'bigint') {
    return value.toString();
  }
  if (Array.isArray(value)) {
    return `[${value.map((element) => stringify(element ?? null)).join(',')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, member]) => `${JSON.stringify(key)}:${stringify(member ?? null)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value ?? null);
}

type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly length: number }
  | { readonly kind: 'truncate'; readonly at: number };

/** `at` is a share of the line, in millionths, so that a mutation fits a line of any length. */
function mutation(): fc.Arbitrary<Mutation> {
  const at = fc.nat(999_999);
  return fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('insert' as const), at, bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) }),
    fc.record({
      kind: fc.constantFrom('remove' as const, 'repeat' as const),
      at,
      length: fc.integer({ min: 1, max: 64 }),
    }),
    fc.record({ kind: fc.constant('truncate' as const), at }),
  );
}

function mutate([text, mutations]: [string, readonly Mutation[]]): Buffer {
  let line = Buffer.from(text);
  for (const mutation of mutations) {
    line = mutateOnce(line, mutation);
  }
  return line;
}

function mutateOnce(line: Buffer, mutation: Mutation): Buffer<ArrayBuffer> {
  const at = Math.floor((mutation.at / 1_000_000) * line.length);
  const [before, after] = [line.subarray(0, at), line.subarray(at)];
  switch (mutation.kind) {
    case 'flip':
      return Buffer.concat([before, after.subarray(0, 1).map((byte) => byte ^ (1 << mutation.bit)), after.subarray(1)]);
    case 'insert':
      return Buffer.concat([before, mutation.bytes, after]);
    case 'remove':
      return Buffer.concat([before, after.subarray(mutation.length)]);
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, mutation.length), after]);
    case 'truncate':
      return Buffer.concat([before]);
  }
}

/** A line that nobody may get anything for, with the reply that the contract has for it. */
function strangersLine(folder: string): fc.Arbitrary<{ readonly line: string; readonly reply: string }> {
  const parseError = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}';
  const refusal = '"error":{"code":-32001,"message":"Unauthorized: invalid or missing auth token"}}';
  // Ids of our pings are positive.
  const number = fc.integer({ max: -1 });
  return fc.oneof(
    fc.tuple(requestLine(folder, fc.constantFrom('wrong', '')), number).map(([text, id]) => ({
      line: `{"id":${id},${JSON.stringify({ ...JSON.parse(text), id: undefined }).slice(1)}`,
      reply: `{"jsonrpc":"2.0","id":${id},${refusal}`,
    })),
    fc
      .constantFrom(
        '[]',
        '1',
        '"x"',
        'true',
        '{',
        '}',
        ' ',
        '\t',
        'nul',
        '{"id":1}x',
        "{'id':1}",
        '{"method":5}',
        '{"a":01}',
      )
      .map((line) => ({
        line,
        reply: parseError,
      })),
  );
}

async function sendInPieces(client: RawConnection, bytes: Buffer, cut: number): Promise<void> {
  // Pieces of any size reach the daemon in any grouping; what a line is must not depend on it.
  const size = cut === 0 ? bytes.length : Math.max(cut, Math.ceil(bytes.length / 200));
  for (let at = 0; at < bytes.length; at += size) {
    client.send(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
