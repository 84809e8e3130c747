/** `holdfast agent`, also started as `claudios-agent`: sessions that a server orders (spec agent.md). */
import type { Platform } from '../../platform/platform.ts';
import { currentDirectory, inexactPath } from '../base/exact-paths.ts';
import { version } from '../base/version.ts';

export interface AgentModeContext {
  readonly environment: NodeJS.ProcessEnv;
  /** Our name as the user typed it. */
  readonly programName: string;
  platform(): Promise<Platform>;
  print(text: string): void;
  complain(text: string): void;
}

/** @param words the command line after `agent` @returns the exit code */
export async function runAgentMode(words: readonly string[], context: AgentModeContext): Promise<number> {
  const { agentUsage, parseAgentWords } = await import('../doors/agent/words.ts');
  const { print, complain, environment } = context;
  const parsed = parseAgentWords(words);
  switch (parsed.outcome) {
    case 'help':
      print(agentUsage(`${context.programName} agent`));
      return 0;
    case 'version':
      print(`${version}\n`);
      return 0;
    case 'failed':
      complain(`${parsed.message}\n`);
      return 2;
  }
  const [{ pathVariables, readSettings }, { AgentLog }] = await Promise.all([
    import('../doors/agent/settings.ts'),
    import('../doors/agent/log.ts'),
  ]);
  const platform = await context.platform();
  const inexact = await inexactPath({ words, variables: pathVariables, workingDirectory: true }, context.platform);
  const workingFolder = currentDirectory();
  if (inexact !== undefined || workingFolder === undefined) {
    complain(`${inexact ?? 'holdfast: the working directory has been deleted; start from a folder that is there'}\n`);
    return 1;
  }
  const { file } = parsed;
  const read = readSettings({
    ...{ file, environment, workingFolder },
    home: platform.host.home(),
    mayOthersRead: (path) => platform.trust.mayOthersRead(path),
  });
  const log = new AgentLog({ print, complain });
  const { settings, faults, warnings, source } = read;
  for (const warning of warnings) {
    log.warn(warning);
  }
  for (const fault of faults) {
    log.error(fault);
  }
  if (settings === undefined) {
    return 1;
  }
  log.level = settings.logLevel;
  const { runAgent } = await import('../doors/agent/agent.ts');
  return runAgent({
    ...{ settings, source, platform, environment, workingFolder, log },
    version,
    onEndRequest: (callback) => {
      // The last is Ctrl+Break of Windows.
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGBREAK'] as const) {
        process.on(signal, callback);
      }
    },
  });
}
