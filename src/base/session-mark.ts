/**
 * The mark by which whatever a session leaves behind can be found: a variable in the environment of its child, which those
 * that the child starts inherit (spec extensions.md §4 `mark-children`).
 */
import { sessionMarkVariable } from '../../platform/child-markers.ts';
import type { Variable } from '../../platform/started-with.ts';

/** Hexadecimal digits of each half. */
const digits = 16;

function shortHash(text: string): string {
  // Loaded here: a daemon that marks no sessions has no other use for it.
  return process.getBuiltinModule('node:crypto').hash('sha256', text).slice(0, digits);
}

/** The first half, the same for all sessions of a run directory. */
export function runDirectoryMark(runDirectory: string): string {
  return shortHash(runDirectory);
}

/** `<run directory>:<session>`, 16 digits each. */
export function sessionMark(runDirectoryMark: string, id: string): string {
  return `${runDirectoryMark}:${shortHash(id)}`;
}

/** The lists without a mark, of environments that many children share. */
const unmarked = new WeakMap<readonly Variable[], readonly Variable[]>();

/** The environment of a child that carries the mark of its session, in two parts; as it is without a first half of the mark. */
export function marked(
  variables: readonly Variable[],
  runDirectoryMark: string | undefined,
  id: string,
): { readonly env: readonly Variable[]; readonly lastVariable: Variable | undefined } {
  if (runDirectoryMark === undefined) {
    return { env: variables, lastVariable: undefined };
  }
  let env = unmarked.get(variables);
  if (env === undefined) {
    env = variables.filter(([name]) => name !== sessionMarkVariable);
    unmarked.set(variables, env);
  }
  return { env, lastVariable: [sessionMarkVariable, sessionMark(runDirectoryMark, id)] };
}

/** A child that leads its group, known by other means than a record of it. */
export interface MarkedChild {
  readonly pid: number;
  /** Since the epoch. */
  readonly startSeconds: number;
  /** Of its session. */
  readonly mark: string;
}
