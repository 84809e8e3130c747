/** The operators' verbs with `--host`: they run there, and answer here. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runHoldfast } from '../support/holdfast.ts';
import { expectSchema } from '../support/schemas.ts';
import { sshHostForTests } from './sshd.ts';

const shared = sshHostForTests();

const there = (verb: string, ...words: readonly string[]) =>
  runHoldfast(
    [
      verb,
      '--host',
      'host',
      '--ssh-command',
      join(shared.host.dir, 'client', 'ssh'),
      '--socket',
      shared.socket,
      ...words,
    ],
    { env: shared.host.env },
  );

test('ps, why, reconcile and release work there as they do here', { timeout: 120_000 }, async () => {
  expect(await there('ps', '--json')).toMatchObject({ code: 3, stdout: '[]\n' });
  const id = "it's; a $(name)";
  const ran = await there('run', '--id', id, '--', 'sh', '-c', 'echo worse >&2; exit 4');
  expect(ran).toMatchObject({ code: 4, stderr: 'worse\n' });
  const listed = await there('ps', '--all', '--json');
  expect(expectSchema('ps', listed.stdout)).toMatchObject([{ id, host: 'host', exitCode: 4 }]);
  expect((await there('ps', '--all')).stdout).toMatch(/ended 4/);
  const explained = await there('why', '--json', '--', id);
  expect(expectSchema('why', explained.stdout)).toMatchObject([{ id, cause: 'exit', stderr: ['worse'] }]);
  expect(await there('reconcile', '--json')).toMatchObject({ code: 0, stdout: '[]\n' });
  expect(await there('release', '--all')).toMatchObject({ code: 4, stdout: '' });
  const released = await there('release', '--yes', '--json', '--', id);
  expect(expectSchema('release', released.stdout)).toMatchObject([{ id, action: 'forget', result: 'released' }]);
  expect((await there('why', '--', 'nobody')).code).toBe(3);
});

test('a host that cannot be reached is one line and exit code 3', async () => {
  const { code, stdout, stderr } = await runHoldfast(['ps', '--host', 'nowhere', '--ssh-command', 'false'], {
    env: shared.host.env,
  });
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  expect(stderr.split('\n')).toHaveLength(2);
  expect(await runHoldfast(['ps', '--host', '-oProxyCommand=true'], { env: shared.host.env })).toMatchObject({
    code: 1,
  });
});
