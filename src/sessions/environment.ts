/** The environment a child gets (spec process.md §3.3, modes.md §4). */
import type { Host } from '../../platform/platform.ts';

export type Variable = readonly [name: string, value: string];

/** Never seen by any child, wherever it comes from. */
const secretVariable = 'CLAUDE_RPC_TOKEN';

export interface EnvironmentSources {
  /** The daemon's own environment, in its order. */
  readonly own: NodeJS.ProcessEnv;
  readonly loginShellPath: string | undefined;
  /** Added when nobody named one (spec platform.md §2 "SSH agent hand-off"). */
  readonly agentSocket: string | undefined;
  /** From the request. */
  readonly wanted: ReadonlyMap<string, string> | undefined;
  /** Dropped from `own` only (profile row `process.strippedVariables`). */
  readonly stripped: readonly string[];
}

/** Existing names are replaced in place, new ones follow in the order of the request. */
export function childEnvironment(sources: EnvironmentSources, host: Host): Variable[] {
  const { own, loginShellPath, agentSocket, wanted, stripped } = sources;
  const isSecret = (name: string): boolean => host.sameVariable(name, secretVariable);
  const variables: Variable[] = [];
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && !isSecret(name) && !stripped.includes(name)) variables.push([name, value]);
  }
  const put = (name: string, value: string): void => {
    const at = variables.findIndex(([present]) => host.sameVariable(present, name));
    if (at < 0) variables.push([name, value]);
    else variables[at] = [name, value];
  };
  if (loginShellPath !== undefined) put('PATH', loginShellPath);
  for (const [name, value] of wanted ?? []) {
    if (!isSecret(name)) put(name, value);
  }
  if (agentSocket !== undefined) variables.push([agentVariable, agentSocket]);
  return variables;
}

export const agentVariable = 'SSH_AUTH_SOCK';
