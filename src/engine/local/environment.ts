/** The environment a child gets (spec process.md §3.3, modes.md §4). */

import type { Host } from '../../../platform/host.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { childEnvironment } from '../../base/child-environment.ts';
import { wrapperVariable } from '../../base/launcher-argv.ts';
import { ambientTokenVariable } from '../../base/start-markers.ts';
import type { Profile } from '../../wire/profile.ts';
import type { Steps } from '../../wire/steps.ts';
import type { SpawnRequest } from '../session-engine.ts';

export interface EnvironmentSources {
  readonly loginShellPath: string | undefined;
  /** Added when nobody named one (spec platform.md §2 "SSH agent hand-off"). */
  readonly agentSocket: string | undefined;
  /** From the request. */
  readonly wanted: SpawnRequest['env'];
  /** The child is a managed launcher. */
  readonly throughLauncher: boolean;
}

export type EnvironmentRules = Pick<Profile['process'], 'strippedVariables' | 'stripsRequest'>;

export const agentVariable = 'SSH_AUTH_SOCK';

/** Variables that are looked at in one step. */
const variablesOfStep = 1024;

/** Environments of the children of one daemon, whose own environment does not change while it serves. */
export class ChildEnvironments {
  readonly #host: Pick<Host, 'variableKey'>;
  readonly #own: readonly Variable[];
  readonly #rules: EnvironmentRules;
  readonly #inherited: readonly Variable[];
  /** Names that no request can set, as the host compares them. */
  readonly #refused: ReadonlySet<string>;
  #throughLauncher: ChildEnvironments | undefined;
  /** What a child gets whose request names no variable; the same list each time, so that the adapter knows it again. */
  #plain: { readonly loginShellPath: string | undefined; readonly variables: readonly Variable[] } | undefined;

  /**
   * @param own the daemon's environment in its order
   * @param rules of the profile: names that are dropped, and whether they are dropped from what a request names too
   */
  constructor(own: readonly Variable[], rules: EnvironmentRules, host: Pick<Host, 'variableKey'>) {
    const { strippedVariables: stripped, stripsRequest } = rules;
    this.#own = own;
    this.#rules = rules;
    this.#host = host;
    // A child never sees the token, whoever names it.
    const refused = [ambientTokenVariable, ...(stripsRequest ? stripped : [])];
    this.#refused = new Set(refused.map((name) => host.variableKey(name)));
    this.#inherited = childEnvironment(own, stripped, host);
  }

  /** Existing names are replaced in place, new ones follow in the order of the request. */
  *of({ loginShellPath, agentSocket, wanted, throughLauncher }: EnvironmentSources): Steps<readonly Variable[]> {
    if (throughLauncher) {
      return yield* this.#thoseThroughLauncher().of({ loginShellPath, agentSocket, wanted, throughLauncher: false });
    }
    if (this.#plain === undefined || this.#plain.loginShellPath !== loginShellPath) {
      const path =
        loginShellPath === undefined
          ? this.#inherited
          : yield* this.#replaced(this.#inherited, [['PATH', loginShellPath]]);
      this.#plain = { loginShellPath, variables: path };
    }
    const { variables } = this.#plain;
    if (agentSocket === undefined && (wanted === undefined || wanted.length === 0)) {
      return variables;
    }
    const result = yield* this.#replaced(variables, wanted ?? []);
    if (agentSocket !== undefined) {
      result.push([agentVariable, agentSocket]);
    }
    return result;
  }

  /** The CLI below a launcher must not look for a launcher itself (spec generation-n2.md §5). */
  #thoseThroughLauncher(): ChildEnvironments {
    const { strippedVariables, stripsRequest } = this.#rules;
    this.#throughLauncher ??= new ChildEnvironments(
      this.#own,
      { strippedVariables: [...strippedVariables, wrapperVariable], stripsRequest },
      this.#host,
    );
    return this.#throughLauncher;
  }

  /** An environment may name a variable twice; a program that reads the last one must not find the old value. */
  *#replaced(variables: readonly Variable[], changes: readonly Variable[]): Steps<Variable[]> {
    let looked = 0;
    // The last of several changes of one variable counts, at the place of the first.
    const values = new Map<string, Variable>();
    for (const change of changes) {
      const key = this.#host.variableKey(change[0]);
      if (!this.#refused.has(key)) {
        values.set(key, change);
      }
      if (++looked % variablesOfStep === 0) {
        yield;
      }
    }
    const placed = new Set<string>();
    const result: Variable[] = [];
    for (const variable of variables) {
      const key = this.#host.variableKey(variable[0]);
      const change = values.get(key);
      if (change === undefined) {
        result.push(variable);
      } else if (!placed.has(key)) {
        placed.add(key);
        result.push(change);
      }
    }
    for (const [key, change] of values) {
      if (!placed.has(key)) {
        result.push(change);
      }
      if (++looked % variablesOfStep === 0) {
        yield;
      }
    }
    return result;
  }
}
