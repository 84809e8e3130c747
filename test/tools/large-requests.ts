/**
 * Requests with one part of them large: every field of every method, and everything a line can have besides. The cost tests
 * double them, the report of stalls fills the line with them.
 */

/** Lines that have one part of about `size` bytes; the rest is small. */
export interface LargePart {
  /** `process.spawn env: many variables` */
  readonly name: string;
  readonly method: string;
  /** @returns the line, without its end */
  line(size: number, token: string, serial: number): string;
}

type Fill = (size: number) => unknown;

const many = (size: number, each: number, make: (index: number) => string): string[] =>
  Array.from({ length: Math.max(1, Math.floor(size / each)) }, (_, index) => make(index));

const long: Fill = (size) => 'x'.repeat(size);
/** Each character takes six bytes of the line. */
const escaped: Fill = (size) => '\u0001'.repeat(Math.floor(size / 6));
/** Each character takes six bytes of a reply. */
const html: Fill = (size) => '<'.repeat(size);
const slashes: Fill = (size) => `/${'a/../'.repeat(Math.floor(size / 5))}`;
const tilde: Fill = (size) => `~/${'b/./'.repeat(Math.floor(size / 4))}`;
const texts = { long, escaped };
const paths = { ...texts, slashes, tilde };
const words: Fill = (size) => many(size, 4, (index) => String(index % 10));
const escapedWords: Fill = (size) => many(size, 5, () => '\n');
const digits: Fill = (size) => Number(`1${'0'.repeat(Math.min(size, 15))}`);

/** How the fields of each method can be large; a method without an entry fails the tests. */
const fields: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Fill>>>>>> = {
  'server.ping': {},
  'server.version': {},
  'server.capabilities': {},
  'server.shutdown': {},
  'files.list': { path: paths },
  'files.validate': { path: paths },
  'files.stat': { path: { ...paths, html } },
  'files.read': { path: paths, maxBytes: { digits } },
  'files.extract_tar': { archivePath: paths, destDir: paths },
  'git.info': { path: paths },
  'git.status': { path: paths, baseRepo: paths },
  'git.list_branches': { path: paths },
  'git.worktree_create': {
    ...{ baseRepo: paths, worktreePath: paths, worktreeRoot: paths },
    ...{ branchName: texts, sourceBranch: texts, existingBranch: texts },
  },
  'git.worktree_remove': { baseRepo: paths, worktreePath: paths, worktreeRoot: paths, branchName: texts },
  'process.spawn': {
    id: texts,
    command: { ...texts, html },
    args: { ...texts, words, 'escaped words': escapedWords },
    cwd: paths,
    env: {
      'many variables': (size) => Object.fromEntries(many(size, 12, (index) => `V${index}`).map((name) => [name, ''])),
      'many functions of a shell': (size) =>
        Object.fromEntries(many(size, 36, (index) => `BASH_FUNC_f${index}%%`).map((name) => [name, '() { :; }'])),
      'escaped names': (size) => Object.fromEntries(many(size, 14, (index) => `\n${index}`).map((name) => [name, ''])),
      'long names': (size) => ({ [`V${'x'.repeat(size)}`]: '' }),
      'long values': (size) => ({ V: 'x'.repeat(size) }),
    },
    door: texts,
  },
  'process.stdin': {
    id: texts,
    data: {
      base64: (size) => 'QUFB'.repeat(Math.floor(size / 4)),
      'base64 in lines': (size) => 'QUFB\n'.repeat(Math.floor(size / 6)),
      'base64 of line ends': (size) => '\n'.repeat(Math.floor(size / 2)),
      'bad base64': (size) => `${'QUFB'.repeat(Math.floor(size / 4))} `,
    },
  },
  'process.kill': { id: texts, signal: texts },
  'process.killAndWait': { id: texts, signal: texts },
  'process.reattach': { id: texts },
  'plugins.prune': { keep: { words }, minAgeDays: { digits } },
  'launcher.resolve': { cliPath: paths },
  'holdfast.describe': {},
  'holdfast.sessions': {},
  'holdfast.watch': {},
  'holdfast.observe': { id: texts },
  'holdfast.unobserve': { id: texts },
  'holdfast.closeStdin': { id: texts },
  'holdfast.release': { id: texts },
};

/** What makes a method do its work although another field is large. */
const rest: Readonly<Record<string, object>> = {
  'process.spawn': { id: 'p', command: 'true' },
  'process.stdin': { id: 'held', offset: 0 },
  'process.killAndWait': { timeoutMs: 1 },
  'git.worktree_create': { branchName: 'b' },
  'holdfast.closeStdin': { offset: 0 },
  'holdfast.watch': { events: false },
};

/** Parts of the line that every request has. `server.ping` looks at nothing else. */
const envelope: Readonly<Record<string, (size: number) => string>> = {
  'a long id': (size) => `"id":"${'x'.repeat(size)}"`,
  'an id of escapes': (size) => `"id":"${'\\u00e9'.repeat(Math.floor(size / 6))}"`,
  'an id of <': (size) => `"id":"${'<'.repeat(size)}"`,
  'an id of many numbers': (size) => `"id":[${many(size, 4, () => '0.5').join(',')}]`,
  'an id of many members': (size) => `"id":{${many(size, 14, (index) => `"k${index}":1`).join(',')}}`,
  'an id of members in no order': (size) => `"id":{${many(size, 11, (index) => `"${scattered(index)}":1`).join(',')}}`,
  'an id of small objects': (size) => `"id":[${many(size, 14, () => '{"b":1,"a":1}').join(',')}]`,
  'an id of small objects in small objects': (size) =>
    `"id":[${many(size, 38, () => '{"c":{"b":{"b":1,"a":1},"a":1},"b":1}').join(',')}]`,
  'an id of powers of ten': (size) => `"id":[${many(size, 5, () => '1e20').join(',')}]`,
  'an id of many escapes': (size) => `"id":[${many(size, 5, () => '"\\n"').join(',')}]`,
  'an id of members with one name': (size) => `"id":{${many(size, 6, () => '"k":1').join(',')}}`,
  'a deep id': (size) => {
    const depth = Math.min(9_900, Math.floor(size / 2));
    return `"id":${'['.repeat(depth)}"${'x'.repeat(Math.max(0, size - 2 * depth))}"${']'.repeat(depth)}`;
  },
  'a deep id of members': (size) => {
    const depth = Math.min(9_900, Math.floor(size / 6));
    return `"id":${'{"k":'.repeat(depth)}"${'x'.repeat(Math.max(0, size - 6 * depth))}"${'}'.repeat(depth)}`;
  },
  'an id of half characters': (size) => `"id":"${'\\ud800'.repeat(Math.floor(size / 6))}"`,
  'many ids': (size) => many(size, 7, () => '"id":1').join(','),
  'many unknown members': (size) => many(size, 14, (index) => `"u${index}":1`).join(','),
  'many params': (size) => many(size, 12, () => '"params":{}').join(','),
  'a long unknown member': (size) => `"unknown":"${'x'.repeat(size)}"`,
  'a long name of a member': (size) => `"${'x'.repeat(size)}":1`,
  'white space': (size) => `${' '.repeat(size)}"id":1`,
  'a long number': (size) => `"unknown":${'1'.repeat(size)}`,
};

/** Parts of the params that no method knows, or that repeat what it knows. */
const inParams: Readonly<Record<string, (size: number) => string>> = {
  'many unknown params': (size) => many(size, 14, (index) => `"u${index}":1`).join(','),
  'one param many times': (size) => many(size, 9, () => '"id":"a"').join(','),
  'unknown params of escapes': (size) => many(size, 12, () => '"\\u00e9":1').join(','),
};

/** Six digits in an order of no use to a sort. */
const scattered = (index: number): string => String((index * 48_271) % 1_000_000).padStart(6, '0');

const head = (method: string, token: string) => `{"jsonrpc":"2.0","auth":"${token}","method":"${method}"`;

/** @param methods all there are */
export function largeParts(methods: readonly string[]): LargePart[] {
  const ofFields = methods.flatMap((method) => {
    const known = fields[method];
    if (known === undefined) {
      throw new Error(`${method} has no row in test/tools/large-requests.ts`);
    }
    return Object.entries(known).flatMap(([field, fills]) =>
      Object.entries(fills).map(([how, fill]) => ({
        name: `${method} ${field}: ${how}`,
        method,
        line: (size: number, token: string, serial: number) =>
          `${head(method, token)},"id":${serial},"params":${JSON.stringify({ ...rest[method], [field]: fill(size) })}}`,
      })),
    );
  });
  const ofEnvelope = Object.entries(envelope).map(([name, text]) => ({
    name: `any method, ${name}`,
    method: 'server.ping',
    line: (size: number, token: string) => `${head('server.ping', token)},${text(size)}}`,
  }));
  const ofParams = Object.entries(inParams).map(([name, text]) => ({
    name: `any method, ${name}`,
    method: 'process.kill',
    line: (size: number, token: string) => `${head('process.kill', token)},"id":1,"params":{${text(size)}}}`,
  }));
  const unknown = Object.entries({ 'a name nobody knows': '\u00e9', 'a name of <': '<' }).map(([name, character]) => ({
    name: `any method, ${name}`,
    method: 'unknown',
    line: (size: number, token: string) =>
      `${head(`server.${character.repeat(size / Buffer.byteLength(character))}`, token)},"id":1}`,
  }));
  const askedWrong = {
    name: 'process.spawn fromSeq: of a wrong type many times',
    method: 'process.spawn',
    line: (size: number, token: string) =>
      `${head('process.spawn', token)},"id":1,"params":{${many(size, 13, () => '"fromSeq":[]').join(',')}}}`,
  };
  return [...ofFields, ...ofEnvelope, ...ofParams, ...unknown, askedWrong];
}
