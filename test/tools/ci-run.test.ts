/** `.ci/run` as a user ends it: nothing that it has started goes on without it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { root } from '../support/holdfast.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

/** A step that writes down its pid and that of a program it has started, and does not end by itself. */
const lasting = 'echo $$ >>"$STARTED"; sleep 1000 & echo $! >>"$STARTED"; wait';
const steps = {
  'bin/sudo': 'shift; exec "$@"',
  'bin/dpkg': 'exit 0',
  'bin/apt-get': `case "$*" in *chromium*) ${lasting};; esac`,
  'bin/npm': `case "$*" in *build*|*typecheck*) ${lasting};; esac`,
  'test/git/prepare-new-git.sh': 'exit 0',
  'test/windows/prepare-wine.sh': 'exit 0',
  'test/windows/build-executable.sh': 'exit 0',
  'test/windows/run.sh': lasting,
};

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s for .ci/run alone ends it at once, with the step it is at and all that it prepares beside it',
  async (signal) => {
    const folder = temporaryFolder();
    const started = join(folder, 'started');
    for (const [name, script] of Object.entries(steps)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    cpSync(join(root, '.ci/run'), join(folder, '.ci/run'));
    const run = spawn(join(folder, '.ci/run'), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`, STARTED: started },
    });
    let output = '';
    run.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const closed = once(run, 'close');
    const ofSteps = (): ProcessFacts[] =>
      (existsSync(started) ? readFileSync(started, 'utf8').trim().split('\n') : []).flatMap(
        (pid) => processFacts(Number(pid)) ?? [],
      );
    onTestFinished(() => {
      run.kill('SIGKILL');
      for (const each of ofSteps()) {
        signalProcess(each, 'SIGKILL');
      }
    });
    // Browser, executables and the Windows suite, which has a session of its own, beside it, and the type check.
    const all = await waitUntil(() => ofSteps().length === 8 && ofSteps(), 'all steps to run');
    run.kill(signal);
    expect(await closed).toEqual([1, null]);
    expect(output).toContain('ended by a signal\n');
    await Promise.all(all.map((each) => untilEnded(each)));
    expect(all.filter(isRunning)).toEqual([]);
  },
);
