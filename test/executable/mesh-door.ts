/** An executable as `claudemesh`, its other name. */
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { configOf, newMember } from '../doors/mesh/members.ts';
import { runProgram } from '../modes/run-program.ts';
import type { RunResult } from '../support/holdfast.ts';
import { waitUntil } from '../support/wait.ts';

/** Its daemon takes a message for a broker that is away, and ends without one complaint of its own. @param folder is made */
export async function useMeshDoor(executable: string, folder: string): Promise<void> {
  mkdirSync(folder);
  const program = join(folder, 'claudemesh');
  linkSync(executable, program);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(newMember('a'), 'ws://127.0.0.1:9/ws')));
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', CLAUDEMESH_CONFIG_DIR: folder };
  const run = (...words: string[]): Promise<RunResult> => runProgram(program, words, { env, cwd: '/' });
  const daemon = run('daemon', 'up', '--no-tcp');
  await waitUntil(async () => (await run('daemon', 'status')).code === 0, 'the daemon to answer');
  expect(await run('send', 'bob', 'hello')).toMatchObject({ code: 0, stderr: '' });
  expect((await run('daemon', 'outbox', '--pending')).stdout).toMatch(/^pending {2}\S+ {2}cid=/);
  expect(await run('daemon', 'down')).toMatchObject({ code: 0, stderr: '' });
  const { code, stdout, stderr } = await daemon;
  expect({ code, unasked: /Warning|bundle|Cannot find/.exec(stdout + stderr) }).toEqual({ code: 0, unasked: null });
  expect(stdout).toContain('"msg":"daemon_started"');
  expect(stderr).not.toContain('broker_config_invalid');
}
