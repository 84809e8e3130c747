/** `process.*` (spec process.md). The work is src/engine/local. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SignalName } from '../../../../platform/processes.ts';
import type { Counters } from '../../../base/counters.ts';
import type { Timings } from '../../../base/timings.ts';
import type { Session } from '../../../engine/local/session.ts';
import type { Sessions, Spawned } from '../../../engine/local/sessions.ts';
import { decodeBase64 } from '../../../wire/base64.ts';
import { RpcError } from '../errors.ts';
import { bool, int64, object, string, stringArray, stringMap, uint64 } from '../params.ts';
import { type Call, defineMethod, type Method, type MethodResult } from './method.ts';

export interface ProcessServices {
  readonly sessions: Sessions;
  readonly counters: Counters;
  readonly timings: Timings;
}

type ProcessCall = Call<ProcessServices>;

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
      disableShellAgentSocket: bool(),
    }),
    run(params, call: ProcessCall) {
      const id = requireId(params.id);
      const command = params.command;
      if (command === undefined || command === '') {
        throw new RpcError('invalidParams', 'Command is required');
      }
      const { wantPid, args = [], cwd, env, disableShellAgentSocket: withoutShellAgent = false } = params;
      const answer = ({ session, feed }: Spawned): MethodResult => {
        // The reply goes out before the first frame of the process.
        call.afterReply(() => feed.release());
        return { success: true, ...identityOf(session, wantPid) };
      };
      const result = inOrder(call, id, () => {
        const spawned = call.services.sessions.spawn({ id, command, args, cwd, env, withoutShellAgent }, call.client);
        return spawned instanceof Promise ? spawned.then(answer) : answer(spawned);
      });
      return result instanceof Promise ? announce(call, id, result) : result;
    },
  }),

  defineMethod({
    name: 'process.stdin',
    params: object({ id: string(), data: string(), offset: uint64() }),
    run({ id = '', data = '', offset }, call: ProcessCall) {
      const bytes = decodeBase64(data);
      if (bytes === undefined) {
        throw new RpcError('invalidParams', 'Invalid base64 data');
      }
      return inOrder(call, id, () => {
        const session = call.services.sessions.find(id);
        if (session === undefined) {
          throw new RpcError('invalidParams', 'Process not found');
        }
        return session.stdin.offer(bytes, offset);
      });
    },
  }),

  defineMethod({
    name: 'process.kill',
    params: object({ id: string(), signal: string() }),
    run({ id = '', signal }, call: ProcessCall) {
      return inOrder(call, id, () => {
        call.services.sessions.kill(id, signalNamed(signal));
        return { success: true };
      });
    },
  }),

  defineMethod({
    name: 'process.killAndWait',
    params: object({ id: string(), signal: string(), timeoutMs: int64(), escalate: bool() }),
    run({ id: sentId, signal, timeoutMs, escalate = true }, call: ProcessCall) {
      const id = requireId(sentId);
      return inOrder(call, id, async () => {
        const { sessions, timings } = call.services;
        const session = sessions.find(id);
        if (session === undefined) {
          return { found: false, died: false };
        }
        const outcome = await session.killAndWait(signalNamed(signal), graceOf(timeoutMs, timings), escalate);
        // The exit frame leaves at the end of the turn that made it; the reply comes after it.
        await nextTurn();
        return {
          found: true,
          died: outcome !== 'alive' && outcome !== 'aliveEscalated',
          alreadyExited: outcome === 'alreadyExited' ? true : undefined,
          escalated: outcome === 'diedEscalated' || outcome === 'aliveEscalated' ? true : undefined,
        };
      });
    },
  }),

  defineMethod({
    name: 'process.reattach',
    params: object({ id: string(), fromSeq: uint64(), wantPid: bool() }),
    run({ id: sentId, fromSeq = 0n, wantPid }, call: ProcessCall) {
      const id = requireId(sentId);
      return inOrder(call, id, () => {
        const { sessions, counters } = call.services;
        const session = sessions.find(id);
        if (session === undefined) {
          return { found: false, running: false, firstSeq: 0, lastSeq: 0, stdinApplied: 0 };
        }
        counters.reattaches++;
        const feed = session.attach(call.client);
        const result = {
          found: true,
          running: session.running,
          firstSeq: session.firstSeq,
          lastSeq: session.lastSeq,
          stdinApplied: session.stdin.applied,
          ...identityOf(session, wantPid),
        };
        // A number past every frame asks for no replay; it need not survive the conversion exactly.
        return new Promise((resolve) => {
          feed.replay(Number(fromSeq), () => {
            call.afterReply(() => feed.release());
            resolve(result);
          });
        });
      });
    },
  }),
];

function requireId(id: string | undefined): string {
  if (id === undefined || id === '') {
    throw new RpcError('invalidParams', 'Process ID is required');
  }
  return id;
}

/** CT-1 (spec process.md §3.7). */
function identityOf(session: Session, wanted: boolean | undefined): { pid?: number; startTime?: number } {
  return wanted === true ? { pid: session.pid, startTime: session.startTime } : {};
}

/** Everything that is no name of ours means TERM (spec process.md §6). */
function signalNamed(text: string | undefined): SignalName {
  const name = text?.startsWith('SIG') ? text.slice(3) : text;
  return name === 'KILL' || name === 'INT' || name === 'HUP' ? name : 'TERM';
}

function graceOf(timeoutMs: bigint | undefined, timings: Timings): number {
  if (timeoutMs === undefined || timeoutMs <= 0n) {
    return timings.killGraceMs;
  }
  return timeoutMs > BigInt(timings.killGraceMaxMs) ? timings.killGraceMaxMs : Number(timeoutMs);
}

/**
 * Requests for one process id start in the order they came; while a spawn of the id is on its way, later ones wait for it
 * (spec wire.md §9.5). Also those of other connections: a client whose connection broke meanwhile is not to hear that
 * there is no such process, and start it twice.
 */
function inOrder(
  { services }: ProcessCall,
  id: string,
  work: () => MethodResult | Promise<MethodResult>,
): MethodResult | Promise<MethodResult> {
  const pending = services.sessions.pendingSpawns.get(id);
  return pending === undefined ? work() : pending.then(work, work);
}

/** Makes later requests for the id wait until the spawn has registered or failed. */
function announce<T>({ services }: ProcessCall, id: string, spawn: Promise<T>): Promise<T> {
  const { pendingSpawns } = services.sessions;
  pendingSpawns.set(id, spawn);
  const forget = (): void => {
    if (pendingSpawns.get(id) === spawn) {
      pendingSpawns.delete(id);
    }
  };
  spawn.then(forget, forget);
  return spawn;
}
