import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import type { StartOrder } from '../../../src/doors/agent/instruction.ts';
import { planStart } from '../../../src/doors/agent/start-plan.ts';

const platform = await loadPlatform();
const nothing: StartOrder = { prompt: undefined, cwd: undefined, args: [], env: {}, resume: undefined };

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'hfa-')));
  mkdirSync(join(folder, 'allowed', 'below'), { recursive: true });
  mkdirSync(join(folder, 'allowed-not'));
  mkdirSync(join(folder, 'outside'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function plan(order: Partial<StartOrder>, environment: Record<string, string> = {}) {
  return planStart(
    's',
    { ...nothing, ...order },
    {
      settings: { claudeCommand: 'claude', claudeArgs: ['--print'], allowedRoots: [join(folder, 'allowed')] },
      platform,
      environment,
      workingFolder: join(folder, 'allowed'),
    },
  );
}

describe('what is started for a session', () => {
  test('the words are those of the settings, the conversation to go on with, and those of the order', async () => {
    expect(await plan({ resume: 'r', args: ['a b', ''] }, { PATH: '/bin' })).toMatchObject({
      command: 'claude',
      args: ['--print', '--resume', 'r', 'a b', ''],
      env: { PATH: '/bin' },
      launcher: undefined,
    });
  });

  test('threat 6: a link that is turned after the check leads nowhere: the folder itself is what the daemon is told', async () => {
    const link = join(folder, 'allowed', 'link');
    symlinkSync(join(folder, 'allowed', 'below'), link);
    const { cwd } = await plan({ cwd: link });
    symlinkSync(join(folder, 'outside'), `${link}.new`);
    renameSync(`${link}.new`, link);
    expect(cwd).toBe(join(folder, 'allowed', 'below'));
    await expect(plan({ cwd: link })).rejects.toMatchObject({ code: 'cwd_not_allowed' });
  });

  test.each([
    ['the root itself', '.', undefined],
    ['a folder below', 'below', undefined],
    ['a way up and down again', 'below/../below', undefined],
    ['the folder above', '..', 'cwd_not_allowed'],
    ['a folder whose name only begins like the root', '../allowed-not', 'cwd_not_allowed'],
    ['a file', 'file', 'cwd_not_allowed'],
    ['nothing that is there', 'none', 'cwd_not_allowed'],
  ])('%s: %s', async (_name, cwd, code) => {
    writeFileSync(join(folder, 'allowed', 'file'), '');
    const planned = plan({ cwd });
    await (code === undefined
      ? expect(planned).resolves.toBeDefined()
      : expect(planned).rejects.toMatchObject({ code }));
  });

  test.each(['AGENT_TOKEN', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'DYLD_INSERT_LIBRARIES', 'A=B', ''])(
    'the variable %j is refused',
    async (name) => {
      await expect(plan({ env: { [name]: 'x' } })).rejects.toMatchObject({ code: 'bad_env' });
    },
  );

  test('what the order sets beats what the agent has', async () => {
    expect((await plan({ env: { A: 'order' } }, { A: 'agent', B: 'agent' })).env).toEqual({ A: 'order', B: 'agent' });
  });
});
