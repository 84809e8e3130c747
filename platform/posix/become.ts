/** Another program in our place: `execve`, with the bytes of every word and variable. */
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import type { Successor } from '../host.ts';
import type { Paths } from '../paths.ts';
import { rawCString } from '../raw-text.ts';
import { environmentEntry } from '../started-with.ts';
import { addressBlock } from './launch.ts';
import { errnoName } from './paths.ts';

export function become({ file, argv0, args, env, descriptors }: Successor, paths: Paths): never {
  const [words, variables] = [addressBlock([argv0, ...args]), addressBlock(env.map(environmentEntry))];
  // Node.js has marked what it inherited, so that nothing of it reaches the programs that it starts.
  for (const descriptor of [0, 1, 2, ...descriptors]) {
    const flags = libc.fcntl(descriptor, libc.F_GETFD, 0);
    if (flags >= 0) {
      libc.fcntl(descriptor, libc.F_SETFD, flags & ~libc.FD_CLOEXEC);
    }
  }
  libc.execve(rawCString(file), words, variables);
  const code = errnoName(libc.errno());
  throw new SystemCallError(`exec ${file}: ${paths.reasonForCode(code)}`, code);
}
