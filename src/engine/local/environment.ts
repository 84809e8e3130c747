/** The environment a child gets (spec process.md §3.3, modes.md §4). */

import type { Host } from '../../../platform/host.ts';
import type { Variable } from '../../../platform/started-with.ts';

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
export function inheritedVariables(own: readonly Variable[], stripped: readonly string[], host: Host): Variable[] {
  return own.filter(([name]) => !isSecret(name, host) && !stripped.includes(name));
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
      return;
    }
    variables[at] = [name, value];
    // An environment may name a variable twice; a program that reads the last one must not find the old value.
    for (let other = variables.length - 1; other > at; other--) {
      const [present] = variables[other] ?? [''];
      if (host.sameVariable(present, name)) {
        variables.splice(other, 1);
      }
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
