/**
 * What happens at the failpoints of the product (src/base/failpoints.ts), in the language of FreeBSD's fail(9), in one
 * variable:
 *
 *     HOLDFAST_FAILPOINTS="keeper.write.before=2*off->1*kill; install.rename=error(ENOSPC)"
 *
 * A rule is `<point>=<term>[-><term>…]`, rules are separated by `;`. A term is `[<count>*]<action>`: with a count it
 * holds for that many passes, then the next term takes over; without one it holds for good. After the last term the
 * point is quiet.
 *
 * | action | effect of a pass |
 * |---|---|
 * | `off` | none |
 * | `error(CODE)` | throws a `SystemCallError` with that errno name |
 * | `panic` | throws a plain `Error`: the bug nobody thought of |
 * | `delay(ms)` | waits |
 * | `kill`, `kill(path)` | the process dies at once by SIGKILL, without any clean-up; creates the file `path` before |
 * | `pause(path)` | creates the file `path` and waits until it is gone: the other side of a race moves meanwhile |
 */
import { existsSync, writeFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostError, SystemCallError } from '../../platform/errors.ts';
import { installFailpoints } from '../../src/base/failpoints.ts';

const variable = 'HOLDFAST_FAILPOINTS';
const pausePollMs = 2;

type Action =
  | { readonly kind: 'off' | 'panic' }
  | { readonly kind: 'kill'; readonly path: string | undefined }
  | { readonly kind: 'error'; readonly code: string }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'pause'; readonly path: string };

interface Term {
  /** Passes left; `Infinity` for a term without count. */
  left: number;
  readonly action: Action;
}

let rules = new Map<string, Term[]>();

/**
 * Reads the rules and takes the variable out of `environment`, so that no child inherits it. Without rules the points do
 * nothing again.
 * @throws HostError that names the term it cannot read
 */
export function armFailpoints(environment: NodeJS.ProcessEnv = process.env): void {
  const text = environment[variable] ?? '';
  delete environment[variable];
  rules = parseRules(text);
  installFailpoints(rules.size === 0 ? undefined : { pass: passBlocking, passWaiting });
}

function parseRules(text: string): Map<string, Term[]> {
  const parsed = new Map<string, Term[]>();
  for (const rule of text.split(';')) {
    if (rule.trim() === '') {
      continue;
    }
    const match = /^\s*([A-Za-z0-9_.-]+)\s*=(.*)$/s.exec(rule);
    const point = match?.[1];
    if (match === null || point === undefined) {
      throw refuse(rule, 'want <point>=<term>[-><term>…]');
    }
    if (parsed.has(point)) {
      throw refuse(rule, `the point ${point} has a rule already`);
    }
    parsed.set(point, (match[2] ?? '').split('->').map(parseTerm));
  }
  return parsed;
}

function parseTerm(text: string): Term {
  const match = /^\s*(?:(\d+)\*)?([a-z]+)(?:\(([^()]*)\))?\s*$/.exec(text);
  if (match === null) {
    throw refuse(text, 'want [<count>*]<action>[(argument)]');
  }
  const [, count, kind, argument] = match;
  return {
    left: count === undefined ? Number.POSITIVE_INFINITY : Number(count),
    action: parseAction(text, kind, argument),
  };
}

function parseAction(term: string, kind: string | undefined, argument: string | undefined): Action {
  switch (kind) {
    case 'off':
    case 'panic':
      if (argument !== undefined) {
        throw refuse(term, `${kind} takes no argument`);
      }
      return { kind };
    case 'kill':
      if (argument !== undefined && !isAbsolute(argument)) {
        throw refuse(term, 'want kill, or kill(path) with an absolute path');
      }
      return { kind, path: argument };
    case 'error':
      if (argument === undefined || !/^E[A-Z0-9]+$/.test(argument)) {
        throw refuse(term, 'want error(CODE) with an errno name such as ENOSPC');
      }
      return { kind, code: argument };
    case 'delay':
      if (argument === undefined || !/^\d{1,7}$/.test(argument)) {
        throw refuse(term, 'want delay(ms) with whole milliseconds');
      }
      return { kind, ms: Number(argument) };
    case 'pause':
      if (argument === undefined || !isAbsolute(argument)) {
        throw refuse(term, 'want pause(path) with an absolute path');
      }
      return { kind, path: argument };
    default:
      throw refuse(term, 'the actions are off, error(CODE), panic, delay(ms), kill, kill(path), pause(path)');
  }
}

function refuse(text: string, why: string): HostError {
  return new HostError(`${variable}: cannot read "${text.trim()}"`, why);
}

/** The action of this pass; uses up one count. */
function next(point: string): Action | undefined {
  const term = rules.get(point)?.find(({ left }) => left > 0);
  if (term !== undefined) {
    term.left--;
  }
  return term?.action;
}

/** Everything but waiting. */
function strike(point: string, action: Action | undefined): void {
  switch (action?.kind) {
    case 'error':
      throw new SystemCallError(`failpoint ${point}: ${action.code}`, action.code);
    case 'panic':
      throw new Error(`failpoint ${point}: panic`);
    case 'kill':
      if (action.path !== undefined) {
        writeFileSync(action.path, point, { mode: 0o600 });
      }
      // As a crash does it: no exit handler, no flush, nothing removed.
      process.kill(process.pid, 'SIGKILL');
  }
}

function passBlocking(point: string): void {
  const action = next(point);
  if (action?.kind === 'delay') {
    block(action.ms);
  } else if (action?.kind === 'pause') {
    writeFileSync(action.path, point, { flag: 'wx', mode: 0o600 });
    while (existsSync(action.path)) {
      block(pausePollMs);
    }
  } else {
    strike(point, action);
  }
}

async function passWaiting(point: string): Promise<void> {
  const action = next(point);
  if (action?.kind === 'delay') {
    await sleep(action.ms);
  } else if (action?.kind === 'pause') {
    writeFileSync(action.path, point, { flag: 'wx', mode: 0o600 });
    while (existsSync(action.path)) {
      await sleep(pausePollMs);
    }
  } else {
    strike(point, action);
  }
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
