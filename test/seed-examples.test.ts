/**
 * The examples of the specification, line by line, through nothing but socat: `>` is sent, `<` must come, nothing else may.
 * The daemon's token is the `T` of the examples. Where the specification leaves `auth` out for width, it is added here.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prepareDaemon, type TestDaemon } from './support/daemon.ts';
import { program } from './support/holdfast.ts';
import { findByArguments, signalProcess } from './support/processes.ts';
import { waitUntil } from './support/wait.ts';

async function startWithTokenT(profile: 'S' | 'current' = 'S'): Promise<TestDaemon> {
  const daemon = await prepareDaemon({ profile });
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  Object.assign(daemon, { token: 'T' });
  await daemon.start();
  return daemon;
}

/** A command line of sh, with `$SOCK`, as the specification prints it. */
async function shell(daemon: TestDaemon, command: string): Promise<string> {
  const child = spawn('sh', ['-c', command], { env: { ...daemon.env, SOCK: daemon.socket } });
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes;
  });
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => {
    errors += bytes;
  });
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  expect({ code, errors }, 'socat is needed. Debian: apt-get install socat').toEqual({ code: 0, errors: '' });
  return output;
}

/** What a line of an example stands for: placeholders in angle brackets, everything else literal. */
const placeholders: Record<string, string> = {
  '<version>': '[0-9]+[.][0-9]+[.][0-9]+',
  '<platform>': '(?:linux|darwin)',
  '<arch>': '(?:amd64|arm64)',
  '<32 hex>': '[0-9a-f]{32}',
  '<ms>': '[0-9]{13}',
  '<pid>': '[1-9][0-9]*',
  '<startTime>': '[1-9][0-9]{9}(?:[.][0-9]{1,6})?',
};

function matcher(example: string): RegExp {
  const parts = example.split(/(<[^>]+>)/);
  return new RegExp(
    `^${parts.map((part) => placeholders[part] ?? part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('')}$`,
  );
}

/** Plays an example over one connection that stays open, and then half-closes it. Returns when everything has come. */
async function play(daemon: TestDaemon, example: string): Promise<void> {
  const socat = spawn('socat', ['-t2', '-', `UNIX-CONNECT:${daemon.socket}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    socat.on('error', (error) => reject(new Error('socat is needed. Debian: apt-get install socat', { cause: error })));
  });
  failed.catch(() => {});
  const closed = new Promise((resolve) => socat.on('close', resolve));
  const received: string[] = [];
  createInterface({ input: socat.stdout }).on('line', (line) => received.push(line));

  const lines = example.split('\n').map((line) => line.trim());
  for (const line of lines.filter((line) => line !== '')) {
    if (line.startsWith('> ')) {
      socat.stdin.write(`${line.slice(2)}\n`);
      continue;
    }
    const wanted = matcher(line.slice(2));
    const find = () => received.findIndex((got) => wanted.test(got));
    await Promise.race([failed, waitUntil(() => find() >= 0, line)]).catch((error: Error) => {
      throw new Error(`${error.message}\nreceived:\n${received.join('\n')}`);
    });
    received.splice(find(), 1);
  }
  socat.stdin.end();
  await closed;
  expect(received).toEqual([]);
}

describe('spec wire.md', () => {
  test('§7.1 a request on a pipe is answered', async () => {
    const daemon = await startWithTokenT();
    const ping = String.raw`printf '{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"T"}\n'`;
    expect(await shell(daemon, `${ping} | socat -t2 - UNIX-CONNECT:"$SOCK"`)).toBe(
      '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n',
    );
  });

  test('§2 an unterminated last line is answered, and a parse error has 76 bytes', async () => {
    const daemon = await startWithTokenT();
    const output = await shell(daemon, `printf '{not json' | socat -t2 - UNIX-CONNECT:"$SOCK"`);
    expect(output).toBe('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}\n');
    expect(Buffer.byteLength(output)).toBe(76);
  });

  test('§4.5 §5 every refusal has its exact text', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":1,"method":"server.nope","auth":"T"}
      < {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Unknown method: server.nope"}}
      > {not json
      < {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}
      > {"jsonrpc":"2.0","id":5,"method":"server.ping","auth":"wrong"}
      < {"jsonrpc":"2.0","id":5,"error":{"code":-32001,"message":"Unauthorized: invalid or missing auth token"}}
      > null
      < {"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Unauthorized: invalid or missing auth token"}}
      > {}
      < {"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Unauthorized: invalid or missing auth token"}}
      > {"jsonrpc":"1.0","id":4,"method":"server.ping","auth":"T"}
      < {"jsonrpc":"2.0","id":4,"error":{"code":-32600,"message":"Invalid JSON-RPC version"}}
      > {"jsonrpc":"2.0","id":7,"method":"bogus","auth":"T"}
      < {"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Invalid method format: bogus"}}
      > {"jsonrpc":"2.0","id":8,"method":"foo.bar","auth":"T"}
      < {"jsonrpc":"2.0","id":8,"error":{"code":-32601,"message":"Unknown namespace: foo"}}
      > {"jsonrpc":"2.0","id":9,"method":"server.<x>","auth":"T"}
      < {"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"Unknown method: server.\\u003cx\\u003e"}}
      > {"jsonrpc":"2.0","id":10,"method":"files.stat","auth":"T"}
      < {"jsonrpc":"2.0","id":10,"error":{"code":-32602,"message":"Invalid params"}}
      `,
    );
  });

  test('§4.4 an id comes back decoded and encoded again', async () => {
    const echo = [
      ['1.0', '1'],
      ['1e2', '100'],
      ['-0.0', '-0'],
      ['9007199254740993', '9007199254740992'],
      ['12345678901234567890', '12345678901234567000'],
      ['1e21', '1e+21'],
      ['"a<b>&c"', String.raw`"a\u003cb\u003e\u0026c"`],
      ['{"b":1,"a":2}', '{"a":2,"b":1}'],
      ['{"10":1,"9":2}', '{"10":1,"9":2}'],
      ['[1.0,"x",null]', '[1,"x",null]'],
      ['true', 'true'],
    ];
    await play(
      await startWithTokenT(),
      echo
        .map(
          ([sent, echoed]) =>
            `> {"jsonrpc":"2.0","id":${sent},"method":"server.ping","auth":"T"}\n< {"jsonrpc":"2.0","id":${echoed},"result":{"pong":true}}`,
        )
        .join('\n'),
    );
  });

  test('§7.2 §7.3 the seed generation names its version and its 19 methods', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":2,"method":"server.version","auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"version":"<version>","platform":"<platform>","arch":"<arch>"}}
      > {"jsonrpc":"2.0","id":3,"method":"server.capabilities","auth":"T"}
      < {"jsonrpc":"2.0","id":3,"result":{"version":"<version>","methods":["server.ping","server.version","server.capabilities","server.shutdown","files.list","files.validate","files.stat","files.read","files.extract_tar","git.info","git.status","git.list_branches","git.worktree_create","git.worktree_remove","process.spawn","process.stdin","process.kill","process.killAndWait","process.reattach"],"features":["process.stdin.offset"]}}
      `,
    );
  });

  test('§7.2 §7.3 the current generation names its instance', async () => {
    await play(
      await startWithTokenT('current'),
      `
      > {"jsonrpc":"2.0","id":2,"method":"server.version","auth":"T"}
      < {"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Unknown method: server.version"}}
      > {"jsonrpc":"2.0","id":3,"method":"server.capabilities","auth":"T"}
      < {"jsonrpc":"2.0","id":3,"result":{"version":"<version>","methods":["server.ping","server.capabilities","server.shutdown","files.list","files.validate","files.stat","files.read","files.extract_tar","git.info","git.status","git.list_branches","git.worktree_create","git.worktree_remove","process.spawn","process.stdin","process.kill","process.killAndWait","process.reattach"],"instanceId":"<32 hex>","startedAt":<ms>,"features":["process.stdin.offset","git.status.baseRepo","git.worktree_create.timeoutMs","git.worktree.external_root","server.instance_id"]}}
      `,
    );
  });

  test('§7.4 a shutdown needs no token; in the seed generation it has no reply', async () => {
    const daemon = await startWithTokenT();
    const shutdown = String.raw`printf '{"jsonrpc":"2.0","id":1,"method":"server.shutdown"}\n'`;
    expect(await shell(daemon, `${shutdown} | socat -t2 - UNIX-CONNECT:"$SOCK"`)).toBe('');
    await waitUntil(() => daemon.daemons().length === 0, 'the daemon to end');
  });
});

describe('spec process.md', () => {
  test('§3.1 a spawned command streams its output and its exit', async () => {
    const daemon = await startWithTokenT();
    // Which of its two streams is read first is free; one at a time, the numbers are those of the example.
    await play(
      daemon,
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"p1","command":"sh","args":["-c","echo hello; read line; echo oops 1>&2; exit 3"]},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true}}
      < {"type":"stream","processId":"p1","stream":"stdout","seq":1,"data":"aGVsbG8K"}
      > {"jsonrpc":"2.0","id":2,"method":"process.stdin","params":{"id":"p1","data":"Cg=="},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"success":true,"applied":1}}
      < {"type":"stream","processId":"p1","stream":"stderr","seq":2,"data":"b29wcwo="}
      < {"type":"stream","processId":"p1","stream":"exit","seq":3,"exitCode":3}
      `,
    );
  });

  test('§3.4 a start that fails says why', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":6,"method":"process.spawn","params":{"id":"a","command":"sh","cwd":"/srv/none"},"auth":"T"}
      < {"jsonrpc":"2.0","id":6,"error":{"code":-32603,"message":"chdir /srv/none: stat /srv/none: no such file or directory"}}
      > {"jsonrpc":"2.0","id":7,"method":"process.spawn","params":{"id":"a","command":"nope-cmd"},"auth":"T"}
      < {"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"exec: \\"nope-cmd\\": executable file not found in $PATH"}}
      > {"jsonrpc":"2.0","id":8,"method":"process.spawn","params":{"command":"sh"},"auth":"T"}
      < {"jsonrpc":"2.0","id":8,"error":{"code":-32602,"message":"Process ID is required"}}
      > {"jsonrpc":"2.0","id":9,"method":"process.spawn","params":{"id":"a"},"auth":"T"}
      < {"jsonrpc":"2.0","id":9,"error":{"code":-32602,"message":"Command is required"}}
      `,
    );
  });

  test('§3.7 a client that asks gets the pid and the start time', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"p","command":"true","wantPid":true},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true,"pid":<pid>,"startTime":<startTime>}}
      < {"type":"stream","processId":"p","stream":"exit","seq":1,"exitCode":0}
      > {"jsonrpc":"2.0","id":2,"method":"process.reattach","params":{"id":"p","fromSeq":1,"wantPid":true},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"found":true,"running":false,"firstSeq":1,"lastSeq":1,"stdinApplied":0,"pid":<pid>,"startTime":<startTime>}}
      `,
    );
  });

  test.each<['S' | 'current', string]>([
    ['S', '"exitCode":-1}'],
    ['current', '"exitCode":-1,"signal":"SIGTERM","killedBy":"client"}'],
  ])('§4 §6 a killed child ends with its exit frame (profile %s)', async (profile, end) => {
    await play(
      await startWithTokenT(profile),
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"cat1","command":"cat"},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true}}
      > {"jsonrpc":"2.0","id":2,"method":"process.stdin","params":{"id":"cat1","data":"aGVsbG8K"},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"success":true,"applied":6}}
      < {"type":"stream","processId":"cat1","stream":"stdout","seq":1,"data":"aGVsbG8K"}
      > {"jsonrpc":"2.0","id":3,"method":"process.kill","params":{"id":"cat1","signal":"SIGTERM"},"auth":"T"}
      < {"jsonrpc":"2.0","id":3,"result":{"success":true}}
      < {"type":"stream","processId":"cat1","stream":"exit","seq":2,${end}
      `,
    );
  });

  test('§5.2 input with offsets is taken once', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"CAT","command":"cat"},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true}}
      > {"jsonrpc":"2.0","id":2,"method":"process.stdin","params":{"id":"CAT","data":"QUFBCg=="},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"success":true,"applied":4}}
      < {"type":"stream","processId":"CAT","stream":"stdout","seq":1,"data":"QUFBCg=="}
      > {"jsonrpc":"2.0","id":3,"method":"process.stdin","params":{"id":"CAT","data":"QkJCCg==","offset":4},"auth":"T"}
      < {"jsonrpc":"2.0","id":3,"result":{"success":true,"applied":8}}
      < {"type":"stream","processId":"CAT","stream":"stdout","seq":2,"data":"QkJCCg=="}
      > {"jsonrpc":"2.0","id":4,"method":"process.stdin","params":{"id":"CAT","data":"RFVQCg==","offset":4},"auth":"T"}
      < {"jsonrpc":"2.0","id":4,"result":{"success":true,"applied":8,"duplicate":true}}
      > {"jsonrpc":"2.0","id":5,"method":"process.stdin","params":{"id":"CAT","data":"UEFSVAo=","offset":6},"auth":"T"}
      < {"jsonrpc":"2.0","id":5,"result":{"success":true,"applied":11}}
      < {"type":"stream","processId":"CAT","stream":"stdout","seq":3,"data":"UlQK"}
      > {"jsonrpc":"2.0","id":6,"method":"process.stdin","params":{"id":"CAT","data":"R0FQCg==","offset":99},"auth":"T"}
      < {"jsonrpc":"2.0","id":6,"error":{"code":-32003,"message":"stdin offset gap: offset ahead of applied bytes"}}
      `,
    );
  });

  test('§7 killAndWait says what it found and what it took', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.killAndWait","params":{"id":"nobody"},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"found":false,"died":false}}
      > {"jsonrpc":"2.0","id":11,"method":"process.spawn","params":{"id":"gone","command":"true"},"auth":"T"}
      < {"jsonrpc":"2.0","id":11,"result":{"success":true}}
      < {"type":"stream","processId":"gone","stream":"exit","seq":1,"exitCode":0}
      > {"jsonrpc":"2.0","id":2,"method":"process.killAndWait","params":{"id":"gone"},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"result":{"found":true,"died":true,"alreadyExited":true}}
      > {"jsonrpc":"2.0","id":12,"method":"process.spawn","params":{"id":"meek","command":"cat"},"auth":"T"}
      < {"jsonrpc":"2.0","id":12,"result":{"success":true}}
      > {"jsonrpc":"2.0","id":3,"method":"process.killAndWait","params":{"id":"meek","timeoutMs":30000},"auth":"T"}
      < {"type":"stream","processId":"meek","stream":"exit","seq":1,"exitCode":-1}
      < {"jsonrpc":"2.0","id":3,"result":{"found":true,"died":true}}
      > {"jsonrpc":"2.0","id":13,"method":"process.spawn","params":{"id":"stubborn","command":"sh","args":["-c","trap '' TERM; echo ready; while :; do sleep 1; done"]},"auth":"T"}
      < {"jsonrpc":"2.0","id":13,"result":{"success":true}}
      < {"type":"stream","processId":"stubborn","stream":"stdout","seq":1,"data":"cmVhZHkK"}
      > {"jsonrpc":"2.0","id":5,"method":"process.killAndWait","params":{"id":"stubborn","timeoutMs":50,"escalate":false},"auth":"T"}
      < {"jsonrpc":"2.0","id":5,"result":{"found":true,"died":false}}
      > {"jsonrpc":"2.0","id":4,"method":"process.killAndWait","params":{"id":"stubborn","timeoutMs":50},"auth":"T"}
      < {"type":"stream","processId":"stubborn","stream":"exit","seq":2,"exitCode":-1}
      < {"jsonrpc":"2.0","id":4,"result":{"found":true,"died":true,"escalated":true}}
      `,
    );
  });

  test('§8 another connection gets the whole replay on one pipe, then the reply', async () => {
    const daemon = await startWithTokenT();
    const line = (id: number, text: string, seq: number): string => `
      > {"jsonrpc":"2.0","id":${id},"method":"process.stdin","params":{"id":"em","data":"${text}"},"auth":"T"}
      < {"jsonrpc":"2.0","id":${id},"result":{"success":true,"applied":${2 * seq}}}
      < {"type":"stream","processId":"em","stream":"stdout","seq":${seq},"data":"${text}"}`;
    await play(
      daemon,
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"em","command":"sh","args":["-c","for i in 1 2 3; do read n; echo $n; done"]},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true}}
      ${line(2, 'MQo=', 1)}${line(3, 'Mgo=', 2)}${line(4, 'Mwo=', 3)}
      < {"type":"stream","processId":"em","stream":"exit","seq":4,"exitCode":0}
      `,
    );
    const reattach = String.raw`printf '{"jsonrpc":"2.0","id":2,"method":"process.reattach","params":{"id":"em","fromSeq":0},"auth":"T"}\n'`;
    expect((await shell(daemon, `${reattach} | socat -t2 - UNIX-CONNECT:"$SOCK"`)).split('\n')).toEqual([
      '{"type":"stream","processId":"em","stream":"stdout","seq":1,"data":"MQo="}',
      '{"type":"stream","processId":"em","stream":"stdout","seq":2,"data":"Mgo="}',
      '{"type":"stream","processId":"em","stream":"stdout","seq":3,"data":"Mwo="}',
      '{"type":"stream","processId":"em","stream":"exit","seq":4,"exitCode":0}',
      '{"jsonrpc":"2.0","id":2,"result":{"found":true,"running":false,"firstSeq":1,"lastSeq":4,"stdinApplied":6}}',
      '',
    ]);
  });

  test('§5.2 §8 the edges of 64 bits', async () => {
    await play(
      await startWithTokenT(),
      `
      > {"jsonrpc":"2.0","id":1,"method":"process.spawn","params":{"id":"quiet","command":"sleep","args":["3600"]},"auth":"T"}
      < {"jsonrpc":"2.0","id":1,"result":{"success":true}}
      > {"jsonrpc":"2.0","id":2,"method":"process.stdin","params":{"id":"quiet","data":"aGVsbG8K","offset":-1},"auth":"T"}
      < {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"Invalid params"}}
      > {"jsonrpc":"2.0","id":3,"method":"process.stdin","params":{"id":"quiet","data":"aGVsbG8K","offset":18446744073709551615},"auth":"T"}
      < {"jsonrpc":"2.0","id":3,"error":{"code":-32003,"message":"stdin offset gap: offset ahead of applied bytes"}}
      > {"jsonrpc":"2.0","id":4,"method":"process.stdin","params":{"id":"quiet","data":"aGVsbG8K"},"auth":"T"}
      < {"jsonrpc":"2.0","id":4,"result":{"success":true,"applied":6}}
      > {"jsonrpc":"2.0","id":7,"method":"process.reattach","params":{"id":"quiet","fromSeq":-1},"auth":"T"}
      < {"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Invalid params"}}
      > {"jsonrpc":"2.0","id":8,"method":"process.reattach","params":{"id":"quiet","fromSeq":18446744073709551615},"auth":"T"}
      < {"jsonrpc":"2.0","id":8,"result":{"found":true,"running":true,"firstSeq":0,"lastSeq":0,"stdinApplied":6}}
      > {"jsonrpc":"2.0","id":3,"method":"process.reattach","params":{"id":"nobody","fromSeq":0},"auth":"T"}
      < {"jsonrpc":"2.0","id":3,"result":{"found":false,"running":false,"firstSeq":0,"lastSeq":0,"stdinApplied":0}}
      `,
    );
  });
});

/** The only code block of that language in the README, as printed. */
function readmeBlock(language: string): string {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))];
  expect(blocks).toHaveLength(1);
  return blocks[0]?.[1] ?? '';
}

test('the client in the README, as printed, survives the death of its relay', async () => {
  const daemon = await startWithTokenT();
  const client = join(daemon.dir, 'client.py');
  const tokenFile = join(daemon.dir, 'client-token');
  writeFileSync(client, readmeBlock('python'));
  writeFileSync(tokenFile, 'T\n', { mode: 0o600 });
  const go = join(daemon.dir, 'go');
  const command = `echo before; until [ -e ${go} ]; do sleep 0.05; done; echo after; echo problem >&2; exit 7`;
  const python = spawn('python3', [client, tokenFile, command, program, '-bridge', '-socket', daemon.socket], {
    env: daemon.env,
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    python[stream].on('data', (bytes: Buffer) => {
      output[stream] += bytes;
    });
  }
  const ended = new Promise((resolve, reject) => python.on('error', reject).on('close', resolve));
  await waitUntil(() => output.stdout === 'before\n', 'the first output');
  const relay = findByArguments(['-bridge', '-socket', daemon.socket]).find(({ pid }) => pid !== python.pid);
  expect(relay !== undefined && signalProcess(relay, 'SIGKILL')).toBe(true);
  writeFileSync(go, '');
  expect(await ended).toBe(7);
  expect(output).toEqual({ stdout: 'before\nafter\n', stderr: 'problem\n' });
});
