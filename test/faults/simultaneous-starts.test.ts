/**
 * Fault 9: many starts on one path at the same moment. When the last launcher has ended the surplus daemons end too, exactly
 * one is left, the token file is its own, and every launcher has told the truth by its exit code (design decision 15).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { findByArguments, type ProcessFacts, signalProcess } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { byLength, limitMs } from './support/length.ts';

const onLinux = existsSync('/proc/net/unix');
const starts = 20;
const startsToKill = byLength(8, 20);
const rounds = byLength(1, 100);

/** The generations of the contract; what is being built on top of them joins in a full run. */
const profiles = byLength(['S', 'current'] as const, ['S', 'current', 'next'] as const);

describe.each(profiles)('profile %s', (profile) => {
  test('twenty starts at once leave one daemon, its own token file, and twenty true exit codes', {
    timeout: limitMs(120),
  }, async () => {
    for (let round = 0; round < rounds; round++) {
      await using daemon = await prepareDaemon({ profile });
      const launchers = Array.from({ length: starts }, (_, index) => new Launcher(daemon, index, profile));
      await Promise.all(launchers.map((launcher) => launcher.ended));
      await expectOneDaemon(daemon, launchers);
    }
  });

  test('starts at once of which some are killed leave one daemon that serves, and a new start works', {
    timeout: limitMs(120),
  }, async () => {
    for (let round = 0; round < rounds; round++) {
      await using daemon = await prepareDaemon({ profile });
      const launchers = Array.from({ length: startsToKill }, (_, index) => new Launcher(daemon, index, profile));
      const killed = new Set<Launcher>();
      // One after the other, whatever each of them is doing by then: launching, waiting for the lock, binding, serving.
      for (const launcher of launchers.filter((_, index) => index % 4 === 0)) {
        await Promise.race(launchers.map(({ ended }) => ended));
        for (const target of launcher.processes()) {
          signalProcess(target, 'SIGKILL');
        }
        killed.add(launcher);
      }
      await Promise.all(launchers.map((launcher) => launcher.ended));
      const last = new Launcher(daemon, starts, profile);
      await last.ended;
      expect(last.code, last.stderr).toBe(0);
      await expectOneDaemon(
        daemon,
        [...launchers, last].filter((launcher) => !killed.has(launcher)),
      );
    }
  });
});

/** The smallest race, often. Each one also takes the place of the winner before, which may be starting to end by then. */
const profilesThatRace = ['S', 'current', 'next'] as const;
const races = byLength(12, 100);

describe.each(profilesThatRace)('profile %s', (profile) => {
  test(`two starts race for one run directory ${races} times: one listener, and the token file is its own`, {
    timeout: limitMs(180),
  }, async () => {
    await using daemon = await prepareDaemon({ profile });
    for (let race = 0; race < races; race++) {
      const both = [2 * race, 2 * race + 1].map((index) => new Launcher(daemon, index, profile));
      await Promise.all(both.map((launcher) => launcher.ended));
      await expectOneDaemon(daemon, both);
      if (onLinux) {
        expect(listeners(daemon), `after race ${race}`).toBe(1);
      }
    }
  });
});

/** Sockets bound in the run directory that somebody listens on, as the kernel counts them, whatever their path leads to. */
function listeners(daemon: TestDaemon): number {
  const accepts = /^\S+ \S+ \S+ 00010000 /;
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return lines.filter((line) => accepts.test(line) && line.includes(` ${daemon.runDir}/`)).length;
}

/** One `-serve` with a token of its own. */
class Launcher {
  readonly token: string;
  readonly ended: Promise<void>;
  code: number | null = null;
  readonly #tokenFile: string;
  readonly #errors: string;

  constructor(daemon: TestDaemon, index: number, profile: string) {
    this.token = `token-of-start-${index}`;
    this.#tokenFile = join(daemon.dir, `token-${index}`);
    this.#errors = join(daemon.dir, `errors-${index}`);
    writeFileSync(this.#tokenFile, this.token, { mode: 0o600 });
    const errors = openSync(this.#errors, 'w');
    const child: ChildProcess = spawn(
      program,
      ['-serve', '-socket', daemon.socket, '-token-file', this.#tokenFile, '-wire-profile', profile],
      { env: daemon.env, stdio: ['ignore', errors, errors] },
    );
    closeSync(errors);
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject).on('exit', (code) => {
        this.code = code;
        resolve();
      });
    });
  }

  get stderr(): string {
    return readFileSync(this.#errors, 'utf8');
  }

  /** The launcher and its daemon, as far as they run. */
  processes(): ProcessFacts[] {
    return findByArguments(['-serve', '-token-file', this.#tokenFile]);
  }

  /** A daemon takes its token file away once it has read it. */
  get hasStarted(): boolean {
    return !existsSync(this.#tokenFile);
  }
}

async function expectOneDaemon(daemon: TestDaemon, launchers: readonly Launcher[]): Promise<void> {
  // Two seconds are what a daemon needs that gets the processor when it asks for it; of twenty starts beside a whole suite
  // none does. The other watch over a lost path (spec modes.md §8) takes ten minutes, so it cannot be taken for this one.
  await waitUntil(() => daemon.daemons().length === 1, 'exactly one daemon').catch((error: Error) => {
    const lines = launchers.map(({ token, code, stderr }) => `${token}: ${code} ${stderr}`);
    throw new Error(`${error.message}, there are ${daemon.daemons().length}\n${lines.join('\n')}`);
  });
  const survivor = daemon.process();
  const token = readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8');
  expect(statSync(join(daemon.runDir, 'daemon.token')).mode & 0o777).toBe(0o600);
  expect(statSync(daemon.socket).mode & 0o777).toBe(0o600);
  const winners = launchers.filter((launcher) => launcher.processes().some(({ pid }) => pid === survivor.pid));
  expect(winners.map((winner) => winner.token)).toEqual([token]);

  await using client = await connect({ socket: daemon.socket, token });
  expect(await client.server.ping()).toEqual({ pong: true });

  for (const launcher of launchers) {
    // Code 0: its daemon has come up, whoever took over later. Code 1: it has not, and the reason is told.
    expect([0, 1], launcher.stderr).toContain(launcher.code);
    if (launcher.code === 0) {
      expect(launcher.hasStarted).toBe(true);
      // Where two launchers made the log at the same moment, the log of one daemon came this way; a reason never does.
      expect(launcher.stderr).not.toMatch(/^(claustrum|holdfast): /m);
    } else if (!launcher.stderr.startsWith(`claustrum: timeout waiting for daemon to accept on ${daemon.socket}\n`)) {
      // (The bound alone as the reason is the truth too: a daemon that is slower than that may serve later.)
      expect(launcher.stderr, 'a reason, and the contract’s line').toMatch(/^.+\n.*claustrum: timeout waiting .*\n$/s);
      expect(launcher.token, 'the daemon of a launcher that told of a failure serves').not.toBe(token);
    }
  }
}
