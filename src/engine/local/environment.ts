/** The environment a child gets (spec process.md §3.3, modes.md §4). */
import type { Host } from '../../../platform/host.ts';

export type Variable = readonly [name: string, value: string];

/** Never seen by any child, wherever it comes from. */
const secretVariable = 'CLAUDE_RPC_TOKEN';

export interface EnvironmentSources {
  /** What children inherit, from `inheritedVariables`. */
  readonly inherited: readonly Variable[];
  readonly loginShellPath: string | undefined;
  /** Added when nobody named one (spec platform.md §2 "SSH agent hand-off"). */
  readonly agentSocket: string | undefined;
  /** From the request. */
  readonly wanted: ReadonlyMap<string, string> | undefined;
}

/**
 * What children inherit of the daemon's environment, in its order. It does not change while the daemon serves, and reading
 * it from the runtime takes longer than all the rest of an environment: it is to be done once.
 * @param stripped names that are dropped (profile row `process.strippedVariables`)
 */
export function inheritedVariables(own: NodeJS.ProcessEnv, stripped: readonly string[], host: Host): Variable[] {
  const variables: Variable[] = [];
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && !isSecret(name, host) && !stripped.includes(name)) {
      variables.push([name, value]);
    }
  }
  return variables;
}

function isSecret(name: string, host: Host): boolean {
  return host.sameVariable(name, secretVariable);
}

/** Existing names are replaced in place, new ones follow in the order of the request. */
export function childEnvironment(sources: EnvironmentSources, host: Host): Variable[] {
  const { inherited, loginShellPath, agentSocket, wanted } = sources;
  const variables = [...inherited];
  const put = (name: string, value: string): void => {
    const at = variables.findIndex(([present]) => host.sameVariable(present, name));
    if (at < 0) {
      variables.push([name, value]);
    } else {
      variables[at] = [name, value];
    }
  };
  if (loginShellPath !== undefined) {
    put('PATH', loginShellPath);
  }
  for (const [name, value] of wanted ?? []) {
    if (!isSecret(name, host)) {
      put(name, value);
    }
  }
  if (agentSocket !== undefined) {
    variables.push([agentVariable, agentSocket]);
  }
  return variables;
}

export const agentVariable = 'SSH_AUTH_SOCK';
