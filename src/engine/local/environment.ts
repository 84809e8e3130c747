/** The environment a child gets (spec process.md §3.3, modes.md §4). */

import type { Host } from '../../../platform/host.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { childEnvironment } from '../../base/child-environment.ts';
import { ambientTokenVariable } from '../../base/start-markers.ts';

export interface EnvironmentSources {
  readonly loginShellPath: string | undefined;
  /** Added when nobody named one (spec platform.md §2 "SSH agent hand-off"). */
  readonly agentSocket: string | undefined;
  /** From the request. */
  readonly wanted: ReadonlyMap<string, string> | undefined;
}

export const agentVariable = 'SSH_AUTH_SOCK';

/** Environments of the children of one daemon, whose own environment does not change while it serves. */
export class ChildEnvironments {
  readonly #host: Pick<Host, 'variableKey'>;
  readonly #inherited: readonly Variable[];
  /** What a child gets whose request names no variable; the same list each time, so that the adapter knows it again. */
  #plain: { readonly loginShellPath: string | undefined; readonly variables: readonly Variable[] } | undefined;

  /**
   * @param own the daemon's environment in its order
   * @param stripped names that are dropped (profile row `process.strippedVariables`)
   */
  constructor(own: readonly Variable[], stripped: readonly string[], host: Pick<Host, 'variableKey'>) {
    this.#host = host;
    this.#inherited = childEnvironment(own, stripped, host);
  }

  /** Existing names are replaced in place, new ones follow in the order of the request. */
  of({ loginShellPath, agentSocket, wanted }: EnvironmentSources): readonly Variable[] {
    if (this.#plain === undefined || this.#plain.loginShellPath !== loginShellPath) {
      const path: Variable[] = loginShellPath === undefined ? [] : [['PATH', loginShellPath]];
      this.#plain = { loginShellPath, variables: this.#replaced(this.#inherited, path) };
    }
    const { variables } = this.#plain;
    if (agentSocket === undefined && (wanted === undefined || wanted.size === 0)) {
      return variables;
    }
    // A child never sees the token, whoever names it.
    const secret = this.#host.variableKey(ambientTokenVariable);
    const asked = [...(wanted ?? [])].filter(([name]) => this.#host.variableKey(name) !== secret);
    const agent: Variable[] = agentSocket === undefined ? [] : [[agentVariable, agentSocket]];
    return [...this.#replaced(variables, asked), ...agent];
  }

  /** An environment may name a variable twice; a program that reads the last one must not find the old value. */
  #replaced(variables: readonly Variable[], changes: readonly Variable[]): Variable[] {
    // The last of several changes of one variable counts, at the place of the first.
    const values = new Map<string, Variable>();
    for (const change of changes) {
      values.set(this.#host.variableKey(change[0]), change);
    }
    const placed = new Set<string>();
    const result: Variable[] = [];
    for (const variable of [...variables, ...changes]) {
      const key = this.#host.variableKey(variable[0]);
      const change = values.get(key);
      if (change === undefined) {
        result.push(variable);
      } else if (!placed.has(key)) {
        placed.add(key);
        result.push(change);
      }
    }
    return result;
  }
}
