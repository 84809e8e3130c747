import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { SystemCallError } from '../../platform/errors.ts';
import { failpoint, failpointAsync } from '../../src/base/failpoints.ts';
import { startDaemon } from './daemon.ts';
import { armFailpoints } from './failpoint-rules.ts';
import { cleanEnvironment, runHoldfast } from './holdfast.ts';
import { connectTo, start } from './host.ts';
import { waitUntil } from './wait.ts';

const product = new URL('../../src/base/failpoints.ts', import.meta.url).href;
const rules = new URL('./failpoint-rules.ts', import.meta.url).href;

function arm(text: string): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { HOLDFAST_FAILPOINTS: text, PATH: '/bin' };
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
function runScript(text: string, body: string) {
  const script = `import { failpoint } from '${product}'; import { armFailpoints } from '${rules}'; armFailpoints();
    process.on('exit', () => console.log('exit handler')); ${body}`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { ...process.env, HOLDFAST_FAILPOINTS: text },
    cwd: tmpdir(),
  });
}

afterEach(() => armFailpoints({}));

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

test('the variable is gone from the environment children inherit', () => {
  expect(arm('a.b=1*kill')).toEqual({ PATH: '/bin' });
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
])('%s is refused with a message that names the term', (text, term) => {
  expect(() => arm(text)).toThrow(`HOLDFAST_FAILPOINTS: cannot read ${term}`);
});

test('kill ends the process at that point, with no exit handler and nothing after it', () => {
  const killed = runScript('a.b=1*off->kill', `for (let n = 1; ; n++) { console.log('pass', n); failpoint('a.b'); }`);
  expect(killed).toMatchObject({ signal: 'SIGKILL', stdout: 'pass 1\npass 2\n' });
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

describe('the product itself', () => {
  test('serves whatever the variable says, and to its children it is a variable like any other', async () => {
    await using daemon = await startDaemon({ env: { HOLDFAST_FAILPOINTS: 'daemon.listen.after=kill' } });
    await using client = await connectTo(daemon);
    const p = await start(client, 'p', 'sh', ['-c', 'echo "$HOLDFAST_FAILPOINTS"']);
    await p.until('daemon.listen.after=kill\n');
  });

  test('installs whatever the variable says, even what no rule could say', async () => {
    const home = mkdtempSync(join(tmpdir(), 'hf-'));
    try {
      const env = cleanEnvironment(home, { HOLDFAST_FAILPOINTS: 'install.begin=kill; nonsense' });
      const { code, stdout } = await runHoldfast(['-install'], { env });
      expect(code).toBe(0);
      expect(stdout).toContain('__INSTALL_RESULT__');
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});
