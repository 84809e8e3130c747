/** Windows puts no program in the place of another: it runs beside us, with our standard streams, and we wait for it. */
import { spawnSync } from 'node:child_process';
import { SystemCallError } from '../errors.ts';
import type { Successor } from '../host.ts';
import type { Paths } from '../paths.ts';

const exitFailed = 1;

export function become({ file, argv0, args, env }: Successor, paths: Paths): number {
  const { status, error } = spawnSync(file, args, { argv0, stdio: 'inherit', env: Object.fromEntries(env) });
  if (error !== undefined) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new SystemCallError(`exec ${file}: ${paths.reason(error)}`, code, { cause: error });
  }
  return status ?? exitFailed;
}
