/** `process.*` (spec process.md). The work is the engine's; here requests become calls and results become replies. */
import type { SignalName } from '../../../../platform/processes.ts';
import type { InputPlace, InputResult, MaybePromise, Opened, SessionEngine } from '../../../engine/session-engine.ts';
import { decodeBase64 } from '../../../wire/base64.ts';
import type { Profile } from '../../../wire/profile.ts';
import { RpcError } from '../errors.ts';
import { bool, ifAsked, int64, object, string, stringArray, stringMap, uint64 } from '../params.ts';
import { Answer, type Call, defineMethod, type Method, type ResultFor } from './method.ts';

export interface ProcessServices {
  readonly engine: SessionEngine;
  readonly profile: Pick<Profile, 'platform' | 'process'>;
}

type ProcessCall = Call<ProcessServices>;

/** A name of the starter that `holdfast.sessions` shows (spec extensions.md §3). */
const longestDoor = 32;

export const processMethods: readonly Method<ProcessServices>[] = [
  defineMethod({
    name: 'process.spawn',
    params: object({
      id: string(),
      command: string(),
      args: stringArray(),
      cwd: string(),
      env: stringMap(),
      wantPid: bool(),
      // Only profiles with the hand-off know it (spec process.md §3.3).
      disableShellAgentSocket: ifAsked(bool()),
      // Only profiles with launchers know it (spec generation-n2.md §4).
      launcher: ifAsked(stringArray()),
      // Opt-ins of spec extensions.md §3.
      ifAbsent: bool(),
      fromSeq: ifAsked(uint64()),
      door: string(),
    }),
    run(params, { services, client }: ProcessCall) {
      const { platform, process: rows } = services.profile;
      const withoutShellAgent = (platform.sshAgentHandOff && params.disableShellAgentSocket?.()) ?? false;
      const launcher = rows.spawnLauncher ? params.launcher?.() : undefined;
      const ifAbsent = params.ifAbsent === true ? { fromSeq: params.fromSeq?.() ?? 0n } : undefined;
      const id = requireId(params.id);
      const command = params.command;
      if (command === undefined || command === '') {
        throw new RpcError('invalidParams', 'Command is required');
      }
      const { wantPid, args = [], cwd, env, door } = params;
      const doorLength = door === undefined ? 0 : [...door].length;
      if (doorLength > longestDoor) {
        throw new RpcError('invalidParams', `door has ${doorLength} characters, the most is ${longestDoor}`);
      }
      return whenKnown(
        services.engine.spawn(
          { id, command, args, cwd, env: env && [...env], withoutShellAgent, ifAbsent, door, launcher },
          client.reader,
        ),
        (opened) =>
          new Answer(
            opened.existing
              ? { success: true, existing: true, ...stateOf(opened, wantPid) }
              : { success: true, ...identityOf(opened, wantPid) },
            opened,
          ),
      );
    },
  }),

  defineMethod({
    name: 'process.stdin',
    // `exact` and `aside` are opt-ins (docs/extensions.md).
    params: object({ id: string(), data: string(), offset: uint64(), exact: bool(), aside: uint64() }),
    run({ id = '', data = '', offset, exact, aside }, { services, client }: ProcessCall) {
      const bytes = decodeBase64(data);
      if (bytes === undefined) {
        throw new RpcError('invalidParams', 'Invalid base64 data');
      }
      const place = offset === undefined ? undefined : placeOf(exact, aside);
      return whenKnown(services.engine.input(id, bytes, offset, client.gone, place), inputReply);
    },
  }),

  defineMethod({
    name: 'process.kill',
    params: object({ id: string(), signal: string() }),
    run({ id = '', signal }, { services }: ProcessCall) {
      const end = services.engine.end(id, { how: 'signal', signal: signalNamed(signal) });
      return whenKnown(end, () => ({ success: true }));
    },
  }),

  defineMethod({
    name: 'process.killAndWait',
    params: object({ id: string(), signal: string(), timeoutMs: int64(), escalate: bool() }),
    run({ id: sentId, signal, timeoutMs, escalate = true }, { services, client }: ProcessCall) {
      const id = requireId(sentId);
      const how = { how: 'signalAndWait', signal: signalNamed(signal), graceMs: timeoutMs, escalate } as const;
      return whenKnown(
        services.engine.end(id, how, client.reader),
        ({ found, died, alreadyExited, escalated, mark }) =>
          new Answer(
            { found, died, alreadyExited: alreadyExited || undefined, escalated: escalated || undefined },
            { mark },
          ),
      );
    },
  }),

  defineMethod({
    name: 'process.reattach',
    params: object({ id: string(), fromSeq: uint64(), wantPid: bool() }),
    run({ id: sentId, fromSeq = 0n, wantPid }, { services, client }: ProcessCall) {
      const id = requireId(sentId);
      return whenKnown(services.engine.attach(id, fromSeq, client.reader, 'receiver'), (opened) =>
        reattachReply(opened, wantPid),
      );
    },
  }),
];

/** A value at once stays a value at once: the reply of a burst's request costs no turn of the loop. */
export function whenKnown<T, R>(value: MaybePromise<T>, reply: (known: T) => R): MaybePromise<R> {
  return value instanceof Promise ? value.then(reply) : reply(value);
}

export function requireId(id: string | undefined): string {
  if (id === undefined || id === '') {
    throw new RpcError('invalidParams', 'Process ID is required');
  }
  return id;
}

function placeOf(exact: boolean | undefined, aside: bigint | undefined): InputPlace | undefined {
  if (aside !== undefined) {
    return { aside };
  }
  return exact === true ? 'exact' : undefined;
}

export function inputReply({ applied, duplicate }: InputResult): ResultFor<'process.stdin'> {
  return { success: true, applied, duplicate: duplicate || undefined };
}

/** `undefined`: there is no such process. */
export function reattachReply(opened: Opened | undefined, wantPid: boolean | undefined): ResultFor<'process.reattach'> {
  return opened === undefined
    ? { found: false, running: false, firstSeq: 0, lastSeq: 0, stdinApplied: 0 }
    : new Answer({ found: true, ...stateOf(opened, wantPid) }, opened);
}

function stateOf(opened: Opened, wantPid: boolean | undefined) {
  const { running, firstSeq, lastSeq, stdinApplied } = opened;
  return { running, firstSeq, lastSeq, stdinApplied, ...identityOf(opened, wantPid) };
}

/** CT-1 (spec process.md §3.7). */
function identityOf(opened: Opened, wanted: boolean | undefined): { pid?: number; startTime?: number } {
  return wanted === true ? { pid: opened.pid, startTime: opened.startTime } : {};
}

/** Everything that is no name of ours means TERM (spec process.md §6). */
function signalNamed(text: string | undefined): SignalName {
  const name = text?.startsWith('SIG') ? text.slice(3) : text;
  return name === 'KILL' || name === 'INT' || name === 'HUP' ? name : 'TERM';
}
