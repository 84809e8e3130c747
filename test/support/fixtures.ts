/** The small programs of test/fixtures, as command and arguments for `process.spawn`. */
import { accessSync } from 'node:fs';
import { join } from 'node:path';
import { bundledScript, root } from './holdfast.ts';

export type Fixture =
  | 'asking-agent.ts'
  | 'chatter.ts'
  | 'close-stdio.sh'
  | 'count-forever.ts'
  | 'die-by-signal.sh'
  | 'echo-lines.ts'
  | 'exit-with-unread-output.sh'
  | 'hold-pipe-open.sh'
  | 'ignore-term.sh'
  | 'leave-the-group.sh'
  | 'leave-zombies.sh'
  | 'step-window.py'
  | 'write-noise.ts';

/** `await client.spawn('p1', ...fixture('count-forever.ts', '--every', '1'))` */
export function fixture(name: Fixture, ...args: readonly string[]): [command: string, args: string[]] {
  if (name.endsWith('.ts')) {
    return [process.execPath, [bundledScript(`test/fixtures/${name}`), ...args]];
  }
  const path = join(root, 'test/fixtures', name);
  accessSync(path);
  return [name.endsWith('.sh') ? '/bin/sh' : 'python3', [path, ...args]];
}
