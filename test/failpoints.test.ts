import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { SystemCallError } from '../platform/errors.ts';
import {
  armFailpoints,
  failpoint,
  failpointAsync,
  failpointsToHandOver,
  setFailpointDeath,
} from '../src/base/failpoints.ts';
import { waitUntil } from './support/wait.ts';

const module = new URL('../src/base/failpoints.ts', import.meta.url).href;

function arm(rules: string): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { HOLDFAST_FAILPOINTS: rules, PATH: '/bin' };
  armFailpoints(environment);
  return environment;
}

/** What each of `passes` passes of the point did: `-`, an errno name, or the error's text. */
function outcomes(point: string, passes: number): string[] {
  return Array.from({ length: passes }, () => {
    try {
      failpoint(point);
      return '-';
    } catch (error) {
      return error instanceof SystemCallError ? error.code : (error as Error).message;
    }
  });
}

/** Runs a script that has failpoints in a process of its own. */
function runScript(rules: string, body: string) {
  const script = `import { armFailpoints, failpoint, failpointAsync } from '${module}'; armFailpoints();
    process.on('exit', () => console.log('exit handler')); ${body}`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { ...process.env, HOLDFAST_FAILPOINTS: rules },
    cwd: tmpdir(),
  });
}

afterEach(() => {
  armFailpoints({});
  setFailpointDeath(() => process.abort());
});

test('a point without a rule does nothing', async () => {
  arm('other.point=panic');
  failpoint('some.point');
  await failpointAsync('some.point');
});

test('a rule with an errno name throws an error of that code, as the failed system call would', async () => {
  arm('install.rename=error(ENOSPC)');
  expect(outcomes('install.rename', 2)).toEqual(['ENOSPC', 'ENOSPC']);
  await expect(failpointAsync('install.rename')).rejects.toMatchObject({ name: 'SystemCallError', code: 'ENOSPC' });
});

test('counted terms are used up one after the other and the point is quiet after the last', () => {
  arm('a.b=2*off->1*error(EIO)->2*panic');
  expect(outcomes('a.b', 7)).toEqual(['-', '-', 'EIO', 'failpoint a.b: panic', 'failpoint a.b: panic', '-', '-']);
});

test('a term without count holds for good', () => {
  arm('a.b=1*off->error(EIO)->panic');
  expect(outcomes('a.b', 4)).toEqual(['-', 'EIO', 'EIO', 'EIO']);
});

test('several points have rules and counts of their own, and spaces do not matter', () => {
  arm(' a.b = 1*error(EIO) -> off ; c.d=1*panic;; ');
  expect(outcomes('c.d', 2)).toEqual(['failpoint c.d: panic', '-']);
  expect(outcomes('a.b', 2)).toEqual(['EIO', '-']);
});

test('the variable is gone from the environment children inherit, and can be handed to a process of our own', () => {
  expect(arm('a.b=1*kill')).toEqual({ PATH: '/bin' });
  expect(failpointsToHandOver()).toEqual([['HOLDFAST_FAILPOINTS', 'a.b=1*kill']]);
  armFailpoints({});
  expect(failpointsToHandOver()).toEqual([]);
});

test.each([
  ['a.b', '"a.b"'],
  ['=kill', '"=kill"'],
  ['a.b=', '""'],
  ['a.b=explode', '"explode"'],
  ['a.b=1*off->2x*kill', '"2x*kill"'],
  ['a.b=error', '"error"'],
  ['a.b=error(28)', '"error(28)"'],
  ['a.b=delay(soon)', '"delay(soon)"'],
  ['a.b=kill(9)', '"kill(9)"'],
  ['a.b=pause', '"pause"'],
  ['a.b=pause(relative)', '"pause(relative)"'],
  ['a.b=kill;a.b=off', '"a.b=off"'],
])('%s is refused with a message that names the term', (rules, term) => {
  expect(() => arm(rules)).toThrow(`HOLDFAST_FAILPOINTS: cannot read ${term}`);
});

test('kill asks for the death that was installed', () => {
  arm('a.b=1*kill');
  setFailpointDeath(() => {
    throw new Error('died');
  });
  expect(outcomes('a.b', 2)).toEqual(['died', '-']);
});

test('kill ends the process at that point, with no exit handler and nothing after it', () => {
  const killed = runScript('a.b=1*off->kill', `for (let n = 1; ; n++) { console.log('pass', n); failpoint('a.b'); }`);
  expect(killed).toMatchObject({ signal: 'SIGABRT', stdout: 'pass 1\npass 2\n' });
  const ended = runScript('a.b=off', `failpoint('a.b');`);
  expect(ended).toMatchObject({ status: 0, stdout: 'exit handler\n' });
});

test('delay waits for at least the time it was given, blocking or not', async () => {
  arm('a.b=delay(30)');
  const start = performance.now();
  failpoint('a.b');
  const middle = performance.now();
  await failpointAsync('a.b');
  expect(middle - start).toBeGreaterThanOrEqual(29);
  expect(performance.now() - middle).toBeGreaterThanOrEqual(28);
});

test('pause holds one side at the point until its file is removed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  const file = join(directory, 'here');
  try {
    arm(`a.b=1*pause(${file})`);
    let passed = false;
    const side = failpointAsync('a.b').then(() => {
      passed = true;
    });
    await waitUntil(() => existsSync(file), 'the point to be reached');
    await new Promise((resolve) => setImmediate(resolve));
    expect(passed).toBe(false);
    rmSync(file);
    await side;
    failpoint('a.b');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('pause holds code that cannot wait as well', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  const file = join(directory, 'here');
  try {
    const body = `const { spawn } = await import('node:child_process');
      spawn('/bin/sh', ['-c', 'until [ -e ${file} ]; do sleep 0.01; done; echo removing; rm ${file}'], { stdio: 'inherit' });
      failpoint('a.b'); console.log('passed');`;
    const run = runScript(`a.b=pause(${file})`, body);
    expect(run).toMatchObject({ status: 0, stdout: 'removing\npassed\nexit handler\n' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a build with HOLDFAST_FAILPOINTS_BUILT_IN=false ignores the variable', () => {
  const without = runScript('a.b=kill', `failpoint('a.b'); console.log('alive');`);
  expect(without.signal).toBe('SIGABRT');
  const script = `globalThis.HOLDFAST_FAILPOINTS_BUILT_IN = false;
    const { armFailpoints, failpoint } = await import('${module}');
    armFailpoints(); failpoint('a.b'); console.log('alive');`;
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { ...process.env, HOLDFAST_FAILPOINTS: 'a.b=kill' },
  });
  expect(run).toMatchObject({ status: 0, stdout: 'alive\n' });
});
