/** The small programs of test/fixtures, as command and arguments for `process.spawn`. */
import { accessSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

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
  const path = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
  accessSync(path);
  const interpreter = name.endsWith('.sh') ? '/bin/sh' : name.endsWith('.py') ? 'python3' : process.execPath;
  return [interpreter, [path, ...args]];
}
