/**
 * Where the host cleaner is on (spec platform.md §2 "Host cleaner"): for a socket `<root>/run/<id>/rpc.sock` and a program
 * deployed under `<root>/srv`. Only that layout says that everything below `<root>/run` is a run directory.
 */
import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { goQuote } from '../../../platform/go-quote.ts';
import type { Paths } from '../../../platform/paths.ts';
import { cliFolderName, socketName } from '../names.ts';

/** Folders of one root, links resolved. */
export interface Place {
  readonly root: string;
  /** Of all run directories. */
  readonly runFolder: string;
  readonly ownRunDirectory: string;
  /** Of the versions of the agent CLI. */
  readonly cliFolder: string;
  /** Of the versions of this program. */
  readonly deployments: string;
}

export interface PlaceOptions {
  readonly paths: Paths;
  readonly socketPath: string;
  /** The program itself; after a start from source that is `bin/holdfast` of the installation. */
  readonly executable: string;
}

/** @returns the place, or why there is none, in the contract's words */
export function findPlace({ paths, socketPath, executable }: PlaceOptions): Place | string {
  const elsewhere = `socket path ${goQuote(socketPath)} is not <root>/run/<id>/${socketName}`;
  if (!paths.isAbsolute(socketPath) || basename(socketPath) !== socketName) {
    return elsewhere;
  }
  const runDirectory = paths.directoryOf(socketPath);
  const runFolder = dirname(runDirectory);
  const root = resolved(dirname(runFolder));
  // With `/` as root, `<root>/run` is where the system keeps the sockets of everybody.
  if (root === undefined || paths.isRoot(root) || basename(runFolder) !== 'run') {
    return elsewhere;
  }
  // A link anywhere below the root would let the rule reach folders that are not in the layout.
  const ownRunDirectory = join(root, 'run', basename(runDirectory));
  if (resolved(runDirectory) !== ownRunDirectory) {
    return elsewhere;
  }

  const place = {
    root,
    runFolder: join(root, 'run'),
    ownRunDirectory,
    cliFolder: join(root, cliFolderName),
    deployments: join(root, 'srv'),
  };
  return isExecutableOf(place, resolved(executable) ?? executable)
    ? place
    : `executable ${goQuote(executable)} is not a deployed daemon under ${place.deployments}`;
}

/**
 * A single file is `<root>/srv/<id>/<name>`. An installation of several files is the folder `<root>/srv/<id>`, whose
 * executable is in its `bin`, where the configuration files are looked for too (spec modes.md §3).
 */
function isExecutableOf({ deployments }: Place, executable: string): boolean {
  const folder = dirname(executable);
  const deployment = basename(folder) === 'bin' && dirname(folder) !== deployments ? dirname(folder) : folder;
  return dirname(deployment) === deployments;
}

/** Whether a file, links resolved, belongs to one of the deployments: the script of an installation is one. */
export function isDeployed({ deployments }: Place, file: string): boolean {
  const [first, ...rest] = relative(deployments, file).split(sep);
  return first !== '' && first !== '..' && rest.length > 0;
}

/** The path with its links resolved; `undefined` when it leads nowhere. */
export function resolved(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
