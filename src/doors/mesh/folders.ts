/** Where the files of the mesh door lie (spec mesh.md §1). */
import { join, resolve } from 'node:path';

export interface MeshFolders {
  /** Joined meshes. */
  readonly configFile: string;
  /** The daemon's own folder, for its owner only. */
  readonly daemon: string;
  readonly socket: string;
  readonly outbox: string;
  readonly inbox: string;
  /** Written by the service manager, when the daemon runs as a service. */
  readonly log: string;
}

/** Names inside the daemon's folder. */
export const pidFileName = 'daemon.pid';
export const tokenFileName = 'local-token';
export const fingerprintFileName = 'host_fingerprint.json';
/** On Windows the pipe is called so, with the user's identifier behind it. */
export const pipeName = 'claudemesh-daemon';

/** @param home `undefined`: unknown, which is a failure unless the environment names a folder */
export function meshFolders(environment: NodeJS.ProcessEnv, home: string | undefined): MeshFolders | undefined {
  const named = environment.CLAUDEMESH_CONFIG_DIR;
  const config = named !== undefined && named !== '' ? resolve(named) : home && join(home, '.claudemesh');
  if (config === undefined) {
    return undefined;
  }
  const own = environment.CLAUDEMESH_DAEMON_DIR;
  const daemon = own !== undefined && own !== '' ? resolve(own) : join(config, 'daemon');
  return {
    configFile: join(config, 'config.json'),
    daemon,
    socket: join(daemon, 'daemon.sock'),
    outbox: join(daemon, 'outbox.db'),
    inbox: join(daemon, 'inbox.db'),
    log: join(daemon, 'daemon.log'),
  };
}
