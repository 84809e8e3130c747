/** Who inherits the children of a dead process. */
import { basename } from 'node:path';
import type { ListedProcess } from '../../../platform/process-list.ts';

/** Programs that take over orphans in the place of process 1: of a user's session, of a container. */
const reapers = new Set(['systemd', 'init', 'launchd', 'tini', 'dumb-init', 'catatonit', 'docker-init', 'conmon']);

export function isInit(process: ListedProcess): boolean {
  return process.identity.pid === 1 || reapers.has(basename(process.words()[0] ?? ''));
}
