/** A reader that goes away (`| head -1`) ends a verb without a word (spec operators.md). */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { program } from '../support/holdfast.ts';
import { spawnShell, startHeld } from './sessions.ts';

const verbs = [
  ['ps'],
  ['ps', '--json'],
  ['reconcile'],
  ['why', 's1'],
  ['release', '--all', '--dry-run'],
  ['logs', 's1'],
  ['status'],
] as const;

test('a verb whose reader has gone ends with 0 and says nothing', { timeout: 120_000 }, async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 's1', 'echo x; exec sleep 3600');
  const ended = verbs.map(async ([name, ...words]) => {
    const child = spawn(program, [name, '--socket', daemon.socket, ...words], {
      env: daemon.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Closed before the first byte: every write fails.
    child.stdout.destroy();
    let errors = '';
    child.stderr.on('data', (bytes: Buffer) => {
      errors += String(bytes);
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    // `logs` always tells on stderr how far it came.
    return { name, code, errors: errors.replace(/^last seq \d+\n$/, '') };
  });
  expect(await Promise.all(ended)).toEqual(verbs.map(([name]) => ({ name, code: 0, errors: '' })));
});
