/**
 * Every exit code that the help of a verb lists is reached by a run of the program. A code without a row here fails the first
 * test, and so does a row for a code that the help does not list.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandRow } from '../../src/operate/commands/row.ts';
import { commandNames, commands } from '../../src/operate/commands/table.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { chosenPids } from '../support/pid-namespace.ts';
import { waitUntil } from '../support/wait.ts';
import { type Held, spawnLeaver, spawnShell, startHeld, untilEndedSession } from './sessions.ts';

/** What the runs meet. */
class World implements AsyncDisposable {
  readonly held: Held;
  /** Its token cannot be read by anybody: it is there, and no verb can speak with it. */
  readonly locked: TestDaemon;
  /** It was killed, and has left a process. */
  readonly dead: Held;
  /** A daemon of the contract alone. */
  readonly plain: TestDaemon;
  /** One that has not been started. */
  readonly none: TestDaemon;

  private constructor(daemons: Pick<World, 'held' | 'locked' | 'dead' | 'plain' | 'none'>) {
    ({ held: this.held, locked: this.locked, dead: this.dead, plain: this.plain, none: this.none } = daemons);
  }

  static async make(): Promise<World> {
    const [held, dead, locked, plain, none] = await Promise.all([
      startHeld(),
      startHeld({ flags: ['-mark-children'] }),
      startDaemon(),
      startDaemon({ withoutExtensions: true }),
      prepareDaemon(),
    ]);
    const { host } = held;
    const [command, args] = fixture('asking-agent.ts', '', asks);
    await host.spawn({ id: 'agent', command, args });
    await spawnShell(host, 'over', 'echo x; exit 0');
    await untilEndedSession(host, 'over');
    await spawnShell(host, 'runs', 'echo x; exec sleep 3600');
    await waitUntil(
      async () => (await host.sessions()).every(({ outBytes }) => outBytes > 0) || undefined,
      'every session to have written',
    );
    await spawnLeaver(dead.host, 'left');
    await dead.daemon.kill();
    rmSync(join(locked.runDir, 'daemon.token'));
    mkdirSync(join(locked.runDir, 'daemon.token'));
    return new World({ held, locked, dead, plain, none });
  }

  /** Runs a verb about a daemon. */
  async at(daemon: TestDaemon, words: string, ...more: readonly string[]): Promise<number | null> {
    const [verb = '', ...rest] = words.split(' ');
    const { code } = await daemon.run([verb, '--socket', daemon.socket, ...rest, ...more]);
    return code;
  }

  /** Runs a verb as it is. */
  async plainly(...words: readonly string[]): Promise<number | null> {
    return (await this.none.run(words)).code;
  }

  /** Runs a verb about another host, whose answer is a script in the place of ssh. */
  async through(script: string, ...words: readonly string[]): Promise<number | null> {
    const ssh = join(this.none.dir, `ssh-${Math.random().toString(36).slice(2)}`);
    writeFileSync(ssh, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return this.plainly(...words, '--host', 'box', '--ssh-command', ssh);
  }

  /** Runs `holdfast service` in an account whose service manager answers as the script says. */
  async service(manager: string, ...words: readonly string[]): Promise<number | null> {
    const bin = join(this.none.dir, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\n${manager}\n`, { mode: 0o755 });
    const { PATH } = this.none.env;
    this.none.env.PATH = `${bin}:${PATH}`;
    try {
      return await this.plainly('service', ...words);
    } finally {
      this.none.env.PATH = PATH;
    }
  }

  file(name: string, text: string): string {
    const path = join(this.none.dir, name);
    writeFileSync(path, text);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [this.held, this.dead, this.locked, this.plain, this.none].map((each) => each[Symbol.asyncDispose]()),
    );
  }
}

const asks = JSON.stringify({
  ...{ type: 'control_request', request_id: 'r1' },
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make' } },
});

/** A run and the code it ends with; a text names the test elsewhere that shows it, which takes more than this file has. */
type Row = readonly [code: number, run: ((world: World) => Promise<number | null>) | string];

/** `several`: shown by the last test of this file, with the only daemons of a host of their own. */
const several = 'test/operate/exit-codes.test.ts: among several daemons of a host';

/** Words that no verb knows, nobody at the socket, and a daemon that is there and cannot be spoken with. */
const usage =
  (...words: readonly string[]): Row[1] =>
  (world) =>
    world.plainly(...words, '--frob');
const nobody =
  (words: string): Row[1] =>
  (world) =>
    world.at(world.none, words);
const locked =
  (words: string): Row[1] =>
  (world) =>
    world.at(world.locked, words);
const held =
  (words: string): Row[1] =>
  (world) =>
    world.at(world.held.daemon, words);
const unit = '.config/systemd/user/holdfast.service';

/** The runs of a verb are made in this order. */
const rows: Readonly<Record<string, readonly Row[]>> = {
  run: [
    [0, held('run -- true')],
    [125, held('run --frob -- true')],
    [126, held('run -- /etc')],
    [127, held('run -- no-such-program')],
    [128, async (world) => ((await world.at(world.held.daemon, 'run -- sh -c', 'kill -TERM $$')) === 143 ? 128 : 0)],
    [255, (world) => world.at(world.plain, 'run -- sh -c', 'kill -KILL $$')],
  ],
  attach: [
    [0, held('attach over')],
    [1, locked('attach over')],
    [2, usage('attach', 'over')],
    [3, nobody('attach over')],
    [3, held('attach nothing')],
  ],
  logs: [
    [0, held('logs runs')],
    [1, locked('logs runs')],
    [2, usage('logs', 'runs')],
    [3, nobody('logs runs')],
    [3, held('logs nothing')],
  ],
  top: [
    [0, held('top --once')],
    [1, locked('top --once')],
    [2, usage('top')],
    [3, nobody('top --once')],
    [5, several],
  ],
  attention: [
    [0, held('attention')],
    [1, locked('attention')],
    [1, locked('attention --watch')],
    [2, usage('attention')],
    [3, nobody('attention')],
    [3, nobody('attention --watch')],
    [5, several],
  ],
  answer: [
    [0, held('answer agent r1 allow')],
    [1, locked('answer agent r1 allow')],
    [2, held('answer agent r1 maybe')],
    [3, held('answer agent r9 allow')],
    [3, nobody('answer agent r1 allow')],
    [4, held('answer agent r1 deny')],
  ],
  ps: [
    [0, held('ps')],
    [1, locked('ps')],
    [2, usage('ps')],
    [3, nobody('ps')],
    [5, several],
  ],
  reconcile: [
    [0, held('reconcile')],
    [1, (world) => world.through("echo '[]'; echo no more >&2; exit 1", 'reconcile')],
    [2, usage('reconcile')],
    [5, (world) => world.at(world.dead.daemon, 'reconcile')],
    [4, (world) => world.at(world.dead.daemon, 'reconcile --kill')],
  ],
  why: [
    [0, held('why over')],
    [1, locked('why nothing')],
    [2, usage('why', 'over')],
    [3, held('why nothing')],
    [4, several],
  ],
  release: [
    [0, held('release over --dry-run')],
    [1, locked('release over --yes')],
    [2, held('release')],
    [3, held('release nothing --yes')],
    [4, held('release over')],
    [5, held('release over nothing --dry-run')],
  ],
  status: [
    [0, held('status')],
    [1, locked('status')],
    [2, usage('status')],
    [3, nobody('status')],
  ],
  token: [
    [0, held('token')],
    [1, locked('token')],
    [2, usage('token')],
    [3, nobody('token')],
  ],
  doctor: [
    [0, held('doctor')],
    [1, (world) => world.plainly('doctor', '--socket', join(world.none.dir, 'x'.repeat(120), 'rpc.sock'))],
    [2, usage('doctor')],
    [3, (world) => world.through('echo no route to host >&2; exit 255', 'doctor')],
    [
      5,
      (world) => {
        chmodSync(world.dead.daemon.runDir, 0o755);
        return world.at(world.dead.daemon, 'doctor --fix');
      },
    ],
  ],
  config: [
    [0, (world) => world.plainly('config')],
    [2, (world) => world.plainly('config', '--', '-frob')],
  ],
  'config check': [
    [0, (world) => world.plainly('config', 'check', world.file('good.conf', 'wire-profile = next\n'))],
    [1, (world) => world.plainly('config', 'check', world.file('bad.conf', 'wire-profil = next\n'))],
    [2, usage('config', 'check', 'x')],
    [3, (world) => world.plainly('config', 'check', join(world.none.dir, 'nowhere.conf'))],
  ],
  licenses: [
    [0, 'test/executable/executable.test.ts: licenses'],
    [1, (world) => world.plainly('licenses')],
    [2, usage('licenses')],
  ],
  service: [[2, (world) => world.plainly('service')]],
  'service install': [
    [1, (world) => world.service('echo no bus >&2; exit 1', 'install')],
    [2, (world) => world.service(':', 'install', '--', '-token-fd', '0')],
    [0, (world) => world.service(':', 'install')],
  ],
  'service status': [
    [0, (world) => world.service(':', 'status')],
    [1, (world) => world.service('echo no bus >&2; exit 1', 'status')],
    [2, usage('service', 'status')],
    [3, (world) => world.service('case "$*" in *status*) exit 3;; esac', 'status')],
  ],
  'service remove': [
    [0, (world) => world.service(':', 'remove')],
    [
      1,
      (world) => {
        mkdirSync(dirname(join(world.none.home, unit)), { recursive: true });
        writeFileSync(join(world.none.home, unit), '[Service]\nExecStart=/bin/true\n');
        return world.service(':', 'remove');
      },
    ],
    [2, usage('service', 'remove')],
  ],
  'service start': [
    [0, (world) => world.plainly('service', 'start', '--', '-socket', join(world.none.dir, 'started', 'rpc.sock'))],
    [
      1,
      (world) => world.plainly('service', 'start', '--', '-socket', join(world.none.dir, 'x'.repeat(120), 'rpc.sock')),
    ],
    [2, (world) => world.plainly('service', 'start', '--', '-frob')],
  ],
  completion: [
    [0, (world) => world.plainly('completion', 'bash')],
    [2, (world) => world.plainly('completion', 'cmd')],
  ],
  deploy: [
    [0, 'test/deploy/deploy.test.ts: the executable brings itself, without any folder'],
    [
      1,
      'test/deploy/deploy.test.ts: a host of another processor is named, and so is the file that is missing or wrong',
    ],
    [2, usage('deploy', 'box')],
    [3, 'test/deploy/deploy.test.ts: a host that cannot be reached is told with what ssh says'],
    [5, 'test/deploy/deploy.test.ts: a daemon whose sessions would end is left, and replaced when that is asked for'],
  ],
  upgrade: [
    [0, held('upgrade --check')],
    [1, (world) => world.plainly('upgrade', '--from', '/nowhere')],
    [2, usage('upgrade')],
    [5, locked('upgrade')],
  ],
};

const listed: readonly (readonly [string, CommandRow])[] = commandNames.flatMap((name) => {
  const row: CommandRow = commands[name];
  const below = Object.entries(row.subcommands ?? {}).map(([sub, each]) => [`${name} ${sub}`, each] as const);
  return [[name, row] as const, ...below];
});

/** What a verb lists that has others below it is reached by those too. */
const codesOf = (name: string): number[] =>
  Object.entries(rows)
    .filter(([each]) => each === name || each.startsWith(`${name} `))
    .flatMap(([, its]) => its.map(([code]) => code));

test('every exit code that a verb lists has a run that reaches it, and no other does', () => {
  const all = listed.map(([name, { exits }]) => [name, Object.keys(exits).map(Number).sort()] as const);
  expect(all.map(([name]) => [name, [...new Set(codesOf(name))].sort()])).toEqual(all);
  expect(Object.keys(rows).sort()).toEqual(listed.map(([name]) => name).sort());
  const root = join(import.meta.dirname, '..', '..');
  for (const [, shownBy] of Object.values(rows).flat()) {
    if (typeof shownBy === 'string') {
      const [file = '', text = ''] = shownBy.split(': ');
      expect(readFileSync(join(root, file), 'utf8')).toContain(`'${text}'`);
    }
  }
});

let world: World;
beforeAll(async () => {
  world = await World.make();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

// The units of `service` are those of Linux.
describe.each(Object.entries(rows))('holdfast %s', (name, its) => {
  const needs = name.startsWith('service ') || name === 'doctor' ? [linux] : [];
  testNeeding(...needs)(`ends with ${[...new Set(its.map(([code]) => code))].join(', ')}`, {}, async () => {
    const found: (number | null)[] = [];
    const runs = its.filter(([, run]) => typeof run !== 'string');
    for (const [, run] of runs) {
      found.push(typeof run === 'string' ? null : await run(world));
    }
    expect(found).toEqual(runs.map(([code]) => code));
  });
});

testNeeding(linux, chosenPids())('among several daemons of a host', { timeout: 120_000 }, async () => {
  const { none } = world;
  const serve = (name: string): string =>
    `echo 00112233445566778899aabbccddeeff >t-${name}; "$0" -serve -socket "$PWD/${name}/rpc.sock" -token-file t-${name}`;
  const script = `cd "$HOME" && ${serve('a')} && ${serve('b')} || exit 9
    for name in a b; do "$0" run --socket "$PWD/$name/rpc.sock" --id twice -- true; done
    "$0" why twice; echo "why $?"
    "$0" release twice --dry-run; echo "release $?"
    rm b/daemon.token
    for verb in ps top attention; do "$0" $verb; echo "$verb $?"; done`;
  const child = spawn('unshare', ['--pid', '--fork', '--mount-proc', 'sh', '-c', script, program], { env: none.env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output += String(bytes);
    });
  }
  // The end of the first process of the namespace ends the daemons in it.
  await new Promise((resolve) => child.on('close', resolve));
  expect({ found: output.match(/^(?:why|release|ps|top|attention) \d$/gm), output }).toMatchObject({
    found: ['why 4', 'release 4', 'ps 5', 'top 5', 'attention 5'],
  });
});
