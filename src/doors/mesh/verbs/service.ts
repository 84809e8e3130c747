/** `install-service` and `uninstall-service` (spec mesh.md §12): the definition for the service manager of this user. */
import { chmodSync, closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { HostError } from '../../../../platform/errors.ts';
import type { Platform } from '../../../../platform/platform.ts';
import type { ServiceManager } from '../../../../platform/service-manager.ts';
import { messageOf } from '../../../base/error-texts.ts';
import { ownStart, programFile } from '../../../base/own-program.ts';
import { printable } from '../../../base/printable.ts';
import { isForeignDefinition, runManagerCommand, writeDefinition } from '../../../base/service-definition.ts';
import type { MeshContext, VerbCall } from '../command-line.ts';
import type { MeshFolders } from '../folders.ts';
import { openFolder } from '../open-folder.ts';
import { exitCodes, MeshRefusal } from '../refusal.ts';

/** One of them is set where a build runs, which has no use for a service that stays. */
const ciVariables = ['CI', 'GITHUB_ACTIONS', 'GITLAB_CI', 'BUILDKITE', 'CIRCLECI', 'JENKINS_URL'];
const ciRefusal = 'Refusing to install persistent service in CI; pass --allow-ci-persistent to override.';
/** A manager's definition is no secret: it names files, and a mesh. */
const definitionMode = 0o644;

export async function installService({ context, folders, flags, tell }: VerbCall): Promise<number> {
  const { environment } = context;
  const { manager, path, home, platform } = await placeOf(context);
  const { mesh, name } = flags;
  if (typeof mesh !== 'string' || mesh === '') {
    throw new MeshRefusal('pass --mesh <slug> so the service knows which mesh to attach to', exitCodes.usage);
  }
  try {
    if (flags['allow-ci-persistent'] !== true && ciVariables.some((each) => (environment[each] ?? '') !== '')) {
      throw new Error(ciRefusal);
    }
    const program = programFile();
    if (!existsSync(program)) {
      throw new Error(`binary not found at ${program}`);
    }
    const start = ownStart();
    const words = ['claudemesh', 'daemon', 'up', '--mesh', mesh, ...(typeof name === 'string' ? ['--name', name] : [])];
    const definition = manager.definition({
      command: [start.file, ...start.words, ...words],
      keepsChildren: false,
      workingFolder: home,
      logFile: folders.log,
      variables: ownVariables(environment, folders),
    });
    if (isForeignDefinition(path, manager)) {
      throw new Error(`${path} was not written by this program; move it away first`);
    }
    makeLog(folders, platform);
    writeDefinition(path, definition, definitionMode);
  } catch (error) {
    const remedy = error instanceof HostError && error.remedy !== '' ? `; ${error.remedy}` : '';
    throw new MeshRefusal(`install-service failed: ${printable(`${messageOf(error)}${remedy}`)}`, exitCodes.failed, {
      cause: error,
    });
  }
  const bootCommand = manager.bootCommand(path);
  tell(`installed ${platform.os} service unit: ${printable(path)}\nbring it up now: ${bootCommand}`, {
    ok: true,
    platform: platform.os,
    unitPath: path,
    bootCommand,
  });
  return 0;
}

export async function uninstallService({ context, tell }: VerbCall): Promise<number> {
  const { manager, path, platform } = await placeOf(context);
  const removed: string[] = [];
  if (existsSync(path)) {
    if (isForeignDefinition(path, manager)) {
      throw new MeshRefusal(
        `${printable(path)} was not written by this program; it is left as it is`,
        exitCodes.failed,
      );
    }
    for (const command of manager.removeCommands(path)) {
      // A manager that does not run, or does not know the service, is no reason to leave the file.
      await runManagerCommand(command, platform, context.environment).catch(() => {});
    }
    rmSync(path, { force: true });
    removed.push(path);
  }
  tell(removed.length === 0 ? 'no service unit installed' : `removed: ${printable(path)}`, {
    platform: platform.os,
    removed,
  });
  return 0;
}

/** What the daemon needs of the environment that it is installed from; the service has another working folder. */
function ownVariables(environment: NodeJS.ProcessEnv, folders: MeshFolders): Record<string, string> {
  const values: Readonly<Record<string, string | undefined>> = {
    CLAUDEMESH_CONFIG_DIR: dirname(folders.configFile),
    CLAUDEMESH_DAEMON_DIR: folders.daemon,
    CLAUDEMESH_DAEMON_TCP_PORT: environment.CLAUDEMESH_DAEMON_TCP_PORT,
  };
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if ((environment[name] ?? '') !== '' && value !== undefined) {
      given[name] = value;
    }
  }
  return given;
}

interface Place {
  readonly platform: Platform;
  readonly manager: ServiceManager;
  /** Of the definition. */
  readonly path: string;
  readonly home: string;
}

async function placeOf({ environment, platform: load }: MeshContext): Promise<Place> {
  const platform = await load();
  const manager = await platform.host.serviceManager('mesh');
  if (manager === undefined) {
    throw new MeshRefusal(`unsupported platform: ${platform.os}`, exitCodes.usage);
  }
  const home = platform.host.home();
  if (home === undefined) {
    throw new MeshRefusal(
      `install-service failed: cannot resolve home directory: ${platform.host.homeVariable} is not defined`,
      exitCodes.failed,
    );
  }
  return { platform, manager, home, path: manager.definitionPath(home, environment) };
}

/** The manager would make it as its own umask has it. */
function makeLog(folders: MeshFolders, { runDirectories }: Platform): void {
  openFolder(folders.daemon, runDirectories).close();
  closeSync(openSync(folders.log, 'a', 0o600));
  chmodSync(folders.log, 0o600);
}
