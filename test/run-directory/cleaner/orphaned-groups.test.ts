/** Which CLIs without a daemon are ended, and who is left alone (spec platform.md §2 "Host cleaner" (a)). */
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { Host as Client } from '../../../src/client/index.ts';
import { programsOfOthers } from '../../support/as-user.ts';
import type { TestDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';
import { testNeeding } from '../../support/needs.ts';
import { isRunning, type ProcessFacts, untilEnded } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { Host, initTakesOrphans, orphan, orphansAtOnce, programOf, waiting } from './support.ts';

/** Each of these leaves processes behind on purpose. */
const orphanTest = testNeeding(initTakesOrphans);

orphanTest('an orphan that everything fits is asked to end, and that is said', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const cli = await host.start(client, 'p');
  await orphan(dead, [cli]);
  await using cleaner = await host.cleaner();
  await untilEnded(cli);
  const lines = cleaner.log().match(/(?<=\[hostclean\] ).*/g);
  expect(lines?.slice(1)).toEqual([
    `ending orphaned process group ${cli.pid} (${host.cli}): SIGTERM`,
    expect.stringMatching(
      /^pass over \d+ process\(es\): 1 orphaned group\(s\) ended on SIGTERM, 0 on SIGKILL, 0 survived; 0 run director\(ies\) removed, 0 daemon\(s\) retired; 0 left alone$/,
    ),
  ]);
});

orphanTest('an orphan that ignores SIGTERM is killed after the grace, with its whole group', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const script = `trap '' TERM; sleep 1000 & echo "pid $!"; echo ready; wait`;
  const [cli, member] = await host.startWithMember(client, 'p', script);
  await orphan(dead, [cli]);
  await using cleaner = await host.cleaner({ timings: { ...orphansAtOnce, hostCleanTermMs: 200 } });
  await untilEnded(cli);
  await untilEnded(member);
  expect(cleaner.log()).toContain(`[hostclean] group ${cli.pid} outlived SIGTERM for 0.2s: SIGKILL`);
  expect(cleaner.log()).toMatch(/0 orphaned group\(s\) ended on SIGTERM, 1 on SIGKILL, 0 survived/);
});

orphanTest('the CLI is ended although its version has been removed meanwhile', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const cli = await host.start(client, 'p');
  await orphan(dead, [cli]);
  rmSync(host.cli);
  await using _ = await host.cleaner();
  await untilEnded(cli);
});

orphanTest('the CLI is ended although its run directory has been removed meanwhile', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const cli = await host.start(client, 'p');
  await orphan(dead, [cli]);
  rmSync(host.runDir('dead'), { recursive: true });
  await using _ = await host.cleaner();
  await untilEnded(cli);
});

/** Says its pid, marks itself as a child of a daemon, and becomes the CLI. */
const markedShell = `sh -c 'echo "pid $$"; CLAUDE_SSH_CHILD=$(mark $$) exec "$0" "$@"' "$0" "$@"`;

describe('left alone is', () => {
  let host: Host;
  let dead: TestDaemon;
  let client: Client;
  let cleaner: TestDaemon;
  let control: ProcessFacts;
  const innocents = new Map<string, ProcessFacts>();

  /** The shell's script; the reason in the log, `undefined` where a process is not even a candidate. */
  const rows: readonly (readonly [what: string, script: string, reason: RegExp | undefined, args?: string[]])[] = [
    [
      'a CLI without our marks',
      'unset CLAUDE_SSH_RUN_DIR CLAUDE_SSH_CHILD; exec "$0" "$@"',
      /no CLAUDE_SSH_RUN_DIR names a folder of /,
    ],
    [
      'a CLI with a mark of its own but none of its run directory',
      'unset CLAUDE_SSH_RUN_DIR; exec "$0" "$@"',
      /no CLAUDE_SSH_RUN_DIR names a folder of /,
    ],
    [
      'a CLI of another root',
      'CLAUDE_SSH_RUN_DIR=/tmp/run/dead exec "$0" "$@"',
      /no CLAUDE_SSH_RUN_DIR names a folder of /,
    ],
    [
      'a CLI whose run directory is the folder of all of them',
      'CLAUDE_SSH_RUN_DIR=$(dirname "$CLAUDE_SSH_RUN_DIR") exec "$0" "$@"',
      /no CLAUDE_SSH_RUN_DIR names a folder of /,
    ],
    [
      'a CLI whose mark has another start time',
      'CLAUDE_SSH_CHILD=$$:1 exec "$0" "$@"',
      /no CLAUDE_SSH_CHILD says "\d+:\d+"/,
    ],
    [
      'a CLI whose mark has another pid',
      'CLAUDE_SSH_CHILD=2:$(mark $$ | cut -d: -f2) exec "$0" "$@"',
      /no CLAUDE_SSH_CHILD says "\d+:\d+"/,
    ],
    [
      'a CLI that does not lead its group',
      `(exec ${markedShell}) <&3 & exit`,
      /it does not lead its own process group/,
    ],
    ['a CLI whose parent is alive', `setsid ${markedShell} <&3 & wait`, undefined],
    ['another program with all the marks', 'exec "$OTHER" "$@"', undefined],
    ['a program in a folder of the CLIs’ folder', 'exec "$DEEPER" "$@"', undefined],
    ['a CLI whose input is no pipe', 'exec "$0" "$@" </dev/null', /its standard streams are not three pipes/],
    ['a CLI whose errors go to a file', 'exec "$0" "$@" 2>/dev/null', /its standard streams are not three pipes/],
    ['a CLI whose errors go to a FIFO', 'exec "$0" "$@" 2<>"$FIFO"', /its standard streams are not three pipes/],
    ['a CLI in a terminal’s format', 'exec "$0" "$@"', /it is no stream-json child/, ['--output-format', 'text']],
    [
      'a CLI that was only told about stream-json',
      'exec "$0" "$@"',
      /it is no stream-json child/,
      ['--print', 'what is', 'stream-json'],
    ],
  ];

  beforeAll(async () => {
    if (initTakesOrphans !== undefined) {
      return;
    }
    host = new Host();
    const [other, deeper] = [join(host.root, 'other', 'cli'), join(host.root, 'ccd-cli', 'deeper', 'cli')];
    for (const path of [other, deeper]) {
      host.installCli(path);
    }
    dead = await host.daemon('dead', { profile: 'next', env: { OTHER: other, DEEPER: deeper } });
    client = await connectTo(dead);
    control = await host.startThrough(client, 'control', 'exec "$0" "$@"');
    for (const [what, script, , args] of rows) {
      innocents.set(what, await host.startThrough(client, what, script, args));
    }
    await orphan(dead, [control]);
    cleaner = await host.cleaner();
  }, 60_000);

  afterAll(async () => {
    await client?.close();
    await cleaner?.[Symbol.asyncDispose]();
    await dead?.[Symbol.asyncDispose]();
    host?.[Symbol.dispose]();
  });

  orphanTest('not the one that everything fits, so the others mean something', {}, async () => {
    await untilEnded(control);
    expect(cleaner.log()).toMatch(/1 orphaned group\(s\) ended on SIGTERM, 0 on SIGKILL, 0 survived/);
  });

  for (const [what, , reason] of rows) {
    orphanTest(what, {}, () => {
      const innocent = innocents.get(what) as ProcessFacts;
      expect(isRunning(innocent)).toBe(true);
      const lines = cleaner.log().match(new RegExp(`\\[hostclean\\] .*process ${innocent.pid} .*`, 'g')) ?? [];
      if (reason === undefined) {
        expect(lines).toEqual([]);
      } else {
        expect(lines).toEqual([expect.stringMatching(reason)]);
      }
    });
  }

  orphanTest('nobody without a word: each refusal is counted', {}, () => {
    const reasons = rows.filter(([, , reason]) => reason !== undefined).length;
    expect(cleaner.log()).toMatch(new RegExp(`; ${reasons} left alone$`, 'm'));
  });
});

orphanTest('a CLI younger than five minutes is left alone', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const cli = await host.start(client, 'p');
  await orphan(dead, [cli]);
  await using cleaner = await host.cleaner({ timings: { hostCleanFirstMs: 1 } });
  expect(cleaner.log()).toContain(
    `[hostclean] process ${cli.pid} (${host.cli}) is left alone: it is younger than 300s`,
  );
  expect(isRunning(cli)).toBe(true);
});

testNeeding(programsOfOthers(), initTakesOrphans)('a CLI of another user is left alone, also by root', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const change = 'setpriv --reuid=23456 --regid=23456 --clear-groups --inh-caps=-all';
  const cli = await host.startThrough(client, 'p', `exec ${change} "$0" "$@"`);
  await orphan(dead, [cli]);
  await using cleaner = await host.cleaner();
  expect(cleaner.log()).toContain(
    `[hostclean] process ${cli.pid} (${host.cli}) is left alone: it runs as user 23456, not as user 0`,
  );
  expect(isRunning(cli)).toBe(true);
});

orphanTest('the children of living daemons are left alone, those of the cleaner among them', {}, async () => {
  using host = new Host();
  await using other = await host.daemon('other', { profile: 'next' });
  await using client = await connectTo(other);
  const cli = await host.start(client, 'p');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    timings: { ...orphansAtOnce, hostCleanFirstMs: 1, hostCleanEveryMs: 1 },
  });
  await using own = await connectTo(cleaner);
  const ownCli = await host.start(own, 'q');
  const passes = () => cleaner.log().match(/\[hostclean\] pass over/g)?.length ?? 0;
  const before = passes();
  await waitUntil(() => passes() > before + 1, 'a pass that has begun after both had');
  expect([isRunning(cli), isRunning(ownCli)]).toEqual([true, true]);
  expect(cleaner.log()).not.toMatch(/process \d+ .* left alone: |SIGTERM: /);
});

orphanTest('an orphan that becomes another program while it is being ended gets nothing more', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const sleep = join(host.root, 'sleep');
  copyFileSync('/bin/sleep', sleep);
  const script = `trap 'exec ${sleep} 1000' TERM; ${waiting}`;
  const cli = await host.start(client, 'p', script);
  await orphan(dead, [cli]);
  await using cleaner = await host.cleaner();
  expect(cleaner.log()).toMatch(
    new RegExp(
      `\\[hostclean\\] group ${cli.pid} no longer verifies \\(its program is not directly in .*; nothing more`,
    ),
  );
  expect(cleaner.log()).toMatch(/0 orphaned group\(s\) ended on SIGTERM, 0 on SIGKILL, 1 survived/);
  expect(isRunning(cli)).toBe(true);
  expect(programOf(cli)).toBe(sleep);
});

orphanTest('an orphan that stops being one between the look and the signal gets none', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  const cli = await host.start(client, 'p', `trap 'exec /bin/sleep 1000' USR1; ${waiting}`);
  await orphan(dead, [cli]);
  const pause = join(host.root, 'pause');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    timings: orphansAtOnce,
    failpoints: `hostclean.signal.before=1*pause(${pause})`,
  });
  await waitUntil(() => existsSync(pause), 'the cleaner to stand before its signal');
  process.kill(cli.pid, 'SIGUSR1');
  await waitUntil(() => programOf(cli) !== host.cli, 'the CLI to become another program');
  rmSync(pause);
  await cleaner.untilLogged(/\[hostclean\] pass over .* 1 survived/);
  expect(isRunning(cli)).toBe(true);
});

orphanTest(
  'at most 64 groups are ended in one pass, the others in the next, and the cap is told',
  { timeout: 60_000 },
  async () => {
    using host = new Host();
    await using dead = await host.daemon('dead', { profile: 'next' });
    await using client = await connectTo(dead);
    const all = await Promise.all(Array.from({ length: 66 }, (_, index) => host.start(client, `p${index}`)));
    await orphan(dead, all);
    await using cleaner = await host.cleaner();
    expect(all.filter(isRunning)).toHaveLength(2);
    const log = cleaner.log();
    expect(log).toMatch(/64 orphaned group\(s\) ended on SIGTERM, 0 on SIGKILL, 0 survived/);
    expect(log).toContain('[hostclean] 64 orphaned groups are the most of one pass; the others wait for the next one');
    await cleaner.start();
    await Promise.all(all.map((cli) => untilEnded(cli)));
  },
);
