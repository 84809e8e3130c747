/** Command line to mode, nothing else; each mode is loaded only when it is chosen. */
import { isAbsolute, normalize } from 'node:path';
import type { Home } from '../platform/home.ts';
import type { ClientPlatform, Platform } from '../platform/platform.ts';
import { inexactPath, type PathSources } from './base/exact-paths.ts';
import { createLog, levelNamed } from './base/log.ts';
import { restoreHeldVariables, takeProgramName } from './base/own-process.ts';
import { programFolder } from './base/own-program.ts';
import { writeWhole } from './base/standard-output.ts';
import { readConfigurationFiles } from './config/configuration-file.ts';
import { noModeText, parseFlags, selectMode, usage } from './config/flags.ts';
import type { ModeName } from './config/mode-names.ts';
import type { OptionMode } from './config/options.ts';
import { logWarnings, mergeSettings, type Settings, withDefaultSocket } from './config/settings.ts';
import type { Mode, ModeContext } from './modes/mode.ts';
import { isVerb } from './operate/verb-names.ts';
import { defaultSocketPath } from './run-directory/names.ts';

const exitFailed = 1;
const exitUsage = 2;

interface ModeEntry {
  load(): Promise<Mode>;
  /** Whether a socket or another default below the home folder may be needed (spec modes.md §4). */
  readonly mayNeedHome: boolean;
  /** What it makes paths of: nothing, what the command line names, or home folder and working directory in any case. */
  readonly paths: 'none' | 'named' | 'any';
  /** Whose warnings about settings go to stderr before the mode runs. The daemon logs its own; a relay stays silent. */
  readonly warnings: readonly OptionMode[];
}

const modes: Record<ModeName, ModeEntry> = {
  version: {
    load: async () => (await import('./modes/version.ts')).runVersion,
    mayNeedHome: false,
    paths: 'none',
    warnings: ['version'],
  },
  install: {
    load: async () => (await import('./modes/install.ts')).runInstall,
    mayNeedHome: false,
    paths: 'any',
    warnings: ['all', 'install'],
  },
  'probe-cli': {
    load: async () => (await import('./modes/probe-cli.ts')).runProbeCli,
    mayNeedHome: false,
    paths: 'named',
    warnings: [],
  },
  serve: {
    load: async () => (await import('./modes/serve.ts')).runServe,
    mayNeedHome: true,
    paths: 'any',
    warnings: [],
  },
  bridge: {
    load: async () => (await import('./modes/bridge.ts')).runBridge,
    mayNeedHome: true,
    paths: 'named',
    warnings: [],
  },
  stop: {
    load: async () => (await import('./modes/stop.ts')).runStop,
    mayNeedHome: true,
    paths: 'named',
    warnings: ['all'],
  },
};

/** The polling door; its own contract has its options (spec agent.md §2), so it is no verb of the operators' table. */
const agentWord = 'agent';

/** The mesh door, whose options are those of its contract too (spec mesh.md §2), and the program whose name it answers to. */
const meshWords = ['mesh', 'claudemesh'] as const;

function fail(line: string): number {
  writeWhole(2, `${line}\n`);
  return exitFailed;
}

/**
 * @param words the command line after the program's name
 * @returns the exit code
 */
export async function run(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  restoreHeldVariables(environment);
  const programName = takeProgramName(environment);
  const executableDirectory = normalize(programFolder());
  let loaded: Promise<Platform> | undefined;
  const platform = () => {
    loaded ??= import('../platform/load.ts').then(({ loadPlatform }) => loadPlatform());
    return loaded;
  };
  /** A process with an adapter ends as that adapter has it. */
  const leave = async (exitCode: number) => (await loaded)?.host.leave(exitCode) ?? exitCode;
  let loadedForClients: Promise<ClientPlatform> | undefined;
  const clientPlatform = () => {
    loadedForClients ??= import('../platform/load.ts').then(({ loadClientPlatform }) => loadClientPlatform());
    return loadedForClients;
  };

  const [verb, ...verbWords] = words;
  if (isVerb(verb)) {
    const inexact = await inexactPath(
      { words, variables: ['HOME', 'XDG_CONFIG_HOME'], workingDirectory: true },
      clientPlatform,
    );
    if (inexact !== undefined) {
      return fail(inexact);
    }
    const { runVerb, standardOutput } = await import('./operate/verbs.ts');
    const context = { environment, programName, executableDirectory, platform, clientPlatform, ...standardOutput };
    return leave(await runVerb(verb, verbWords, context));
  }

  if (verb === agentWord) {
    const [{ runAgentMode }, { standardOutput }] = await Promise.all([
      import('./modes/agent.ts'),
      import('./operate/verbs.ts'),
    ]);
    const context = { environment, programName, platform, ...standardOutput };
    return leave(await runAgentMode(verbWords, context));
  }

  const meshWord = meshWords.find((word) => word === verb);
  if (meshWord !== undefined) {
    const variables = ['HOME', 'CLAUDEMESH_CONFIG_DIR', 'CLAUDEMESH_DAEMON_DIR'];
    const inexact = await inexactPath({ words, variables, workingDirectory: false }, clientPlatform);
    if (inexact !== undefined) {
      return fail(inexact);
    }
    const [{ runMeshMode }, { standardOutput }] = await Promise.all([
      import('./modes/mesh.ts'),
      import('./operate/verbs.ts'),
    ]);
    const context = { environment, platform, clientPlatform, ...standardOutput };
    return leave(await runMeshMode(meshWord, verbWords, context));
  }

  const flags = parseFlags(words);
  if (flags.outcome === 'help') {
    writeWhole(2, usage(programName));
    return 0;
  }
  if (flags.outcome === 'failed') {
    writeWhole(2, `${flags.message}\n${usage(programName)}`);
    return exitUsage;
  }

  const settings = mergeSettings(flags.given, readConfigurationFiles(executableDirectory));
  const name = selectMode(flags.given, settings.profile);
  if (name === undefined) {
    writeWhole(2, `${noModeText(settings.profile)}\n`);
    return exitUsage;
  }
  const entry = modes[name];

  const log = createLog({ level: levelNamed(environment.CLAUSTRUM_LOG_LEVEL) });
  logWarnings(settings, entry.warnings, log);

  const inexact = await inexactPath(sourcesOfPaths(entry, words, settings), clientPlatform);
  if (inexact !== undefined) {
    return fail(inexact);
  }

  let complete = settings;
  if (entry.mayNeedHome) {
    const { user } = await clientPlatform();
    const withDefaults = completed(settings, user);
    if (withDefaults === undefined) {
      return fail(`claustrum: cannot resolve home directory: ${user.homeVariable} is not defined`);
    }
    complete = withDefaults;
  }

  const context: ModeContext = {
    settings: complete,
    flags: flags.given,
    arguments: words,
    environment,
    programName,
    executableDirectory,
    log,
    platform,
    clientPlatform,
  };
  const mode = await entry.load();
  return leave(await mode(context));
}

function sourcesOfPaths(entry: ModeEntry, words: readonly string[], { effective }: Settings): PathSources {
  if (entry.paths === 'none') {
    return { words: [], variables: [], workingDirectory: false };
  }
  const usesHome = entry.paths === 'any' || (entry.mayNeedHome && effective.socket.source === 'default');
  const named = [effective.socket.value, effective['probe-cli'].value];
  const usesDirectory =
    entry.paths === 'any' || named.some((path) => path !== undefined && path !== '' && !isAbsolute(path));
  return { words, variables: usesHome ? ['HOME'] : [], workingDirectory: usesDirectory };
}

/** The settings with their defaults below the home folder; `undefined` when that folder is needed and unknown. */
function completed(settings: Settings, user: Home): Settings | undefined {
  const home = user.home();
  if (home !== undefined) {
    return withDefaultSocket(settings, defaultSocketPath(home));
  }
  const needed = settings.profile.modes.homeRequired || settings.effective.socket.source === 'default';
  return needed ? undefined : settings;
}
