/** `holdfast.*`: what is ours and not the contract's (spec extensions.md §2). Served in every profile, listed in none. */
import type { Platform } from '../../../../platform/platform.ts';
import type { Settings } from '../../../config/settings.ts';
import { windowBytes } from '../../../engine/local/replay-window.ts';
import type { KeeperFacts, Opened, SessionEngine, SessionInfo } from '../../../engine/session-engine.ts';
import type { DaemonDescription, SessionInfo as ToldSession } from '../../../wire/extension-types.ts';
import { maxLineBytes } from '../../../wire/line-reader.ts';
import type { Encodable } from '../../../wire/method-types.ts';
import type { Profile } from '../../../wire/profile.ts';
import { RpcError } from '../errors.ts';
import { eventFrame } from '../extension-frames.ts';
import { bool, int64, object, string, uint64 } from '../params.ts';
import { Answer, type Call, defineMethod, type Method, type ResultFor } from './method.ts';
import { inputReply, requireId, whenKnown } from './process.ts';
import type { DaemonIdentity } from './server.ts';

export interface HoldfastServices {
  readonly platform: Platform;
  readonly profile: Profile;
  readonly daemon: DaemonIdentity;
  readonly engine: SessionEngine;
  readonly durable: boolean;
  readonly settings: Pick<Settings, 'maxSessions' | 'spoolBytes'>;
  /** `undefined`: there is none at this moment. */
  keeper(): KeeperFacts | undefined;
}

type HoldfastCall = Call<HoldfastServices>;

const prefix = 'holdfast.';
/** Absent params count as none. */
const empty = { whenAbsent: 'empty' } as const;

export const holdfastMethods: readonly Method<HoldfastServices>[] = [
  defineMethod({
    name: 'holdfast.describe',
    params: object({}, empty),
    run: (_, { services }: HoldfastCall) => describe(services),
  }),

  defineMethod({
    name: 'holdfast.sessions',
    params: object({ ends: bool() }, empty),
    run: ({ ends = false }, { services }: HoldfastCall) =>
      whenKnown(services.engine.sessions(), (sessions) => sessionsReply(sessions, ends)),
  }),

  defineMethod({
    name: 'holdfast.watch',
    params: object({ events: bool() }, empty),
    run({ events = true }, { services: { engine }, client }: HoldfastCall) {
      if (!events) {
        client.setWatch(undefined);
        return whenKnown(engine.sessions(), sessionsReply);
      }
      // Events that come before the list are part of it; the reply is queued before the first one that is not.
      let listed = false;
      client.setWatch(
        engine.watch((event) => {
          const frame = listed ? eventFrame(event) : undefined;
          if (frame !== undefined) {
            client.push(frame);
          }
        }),
      );
      return whenKnown(engine.sessions(), (sessions) => {
        listed = true;
        return sessionsReply(sessions);
      });
    },
  }),

  defineMethod({
    name: 'holdfast.observe',
    params: object({ id: string(), fromSeq: uint64(), activity: bool() }),
    run({ id: sentId, fromSeq = 0n, activity }, { services, client }: HoldfastCall) {
      const id = requireId(sentId);
      const more = activity === true ? 'activity' : undefined;
      return whenKnown(services.engine.attach(id, fromSeq, client.reader, 'observer', more), (opened) => {
        if (opened === undefined) {
          throw notFound();
        }
        return observeReply(opened);
      });
    },
  }),

  defineMethod({
    name: 'holdfast.unobserve',
    params: object({ id: string() }),
    run({ id: sentId }, { services, client }: HoldfastCall) {
      const id = requireId(sentId);
      return whenKnown(services.engine.unobserve(id, client.reader), () => ({ success: true }));
    },
  }),

  defineMethod({
    name: 'holdfast.closeStdin',
    params: object({ id: string(), offset: uint64() }),
    run({ id: sentId, offset }, { services }: HoldfastCall) {
      const id = requireId(sentId);
      if (offset === undefined) {
        throw new RpcError('invalidParams', 'Invalid params');
      }
      return whenKnown(services.engine.closeInput(id, offset), inputReply);
    },
  }),

  defineMethod({
    name: 'holdfast.release',
    params: object({ id: string(), all: bool(), timeoutMs: int64() }),
    run({ id: sentId, all = false, timeoutMs }, { services, client }: HoldfastCall) {
      const how = { how: 'release', graceMs: timeoutMs } as const;
      if (all) {
        return releaseAll(services.engine, (id) => services.engine.end(id, how, client.reader));
      }
      const id = requireId(sentId);
      return whenKnown(services.engine.end(id, how, client.reader), ({ found, died, mark }) => {
        if (!found) {
          throw notFound();
        }
        return new Answer({ released: died ? 1 : 0 }, { mark });
      });
    },
  }),
];

async function releaseAll(
  engine: SessionEngine,
  release: (id: string) => ReturnType<SessionEngine['end']>,
): Promise<ResultFor<'holdfast.release'>> {
  const sessions = await engine.sessions();
  const released = await Promise.all(
    sessions
      .filter(({ replaced }) => !replaced)
      .map(async ({ id }) => {
        const { died, mark } = await release(id);
        // The reply stands behind the exit frames of all that the asker reads.
        await mark?.passed();
        return died;
      }),
  );
  return { released: released.filter((died) => died).length };
}

/** The keys of `process.reattach`, and what was asked for besides. */
function observeReply(opened: Opened): ResultFor<'holdfast.observe'> {
  const { running, firstSeq, lastSeq, stdinApplied, activity } = opened;
  return new Answer({ found: true, running, firstSeq, lastSeq, stdinApplied, activity }, opened);
}

function notFound(): RpcError {
  return new RpcError('invalidParams', 'Process not found');
}

function describe({
  platform,
  profile,
  settings,
  daemon,
  durable,
  keeper,
}: HoldfastServices): Encodable<DaemonDescription> {
  return {
    version: daemon.version,
    profile: profile.name,
    pid: process.pid,
    startTime: platform.processes.ownStartSeconds(),
    instanceId: daemon.instanceId,
    startedAt: daemon.startedAt,
    os: platform.os,
    arch: platform.arch,
    durable,
    keeper: keeper(),
    extensions: holdfastMethods.map(({ name }) => name.slice(prefix.length)).sort(),
    limits: {
      lineBytes: maxLineBytes,
      windowBytes,
      spoolBytes: settings.spoolBytes,
      maxSessions: settings.maxSessions,
    },
  };
}

/** @param ends whether to tell who has asked for the end of each */
function sessionsReply(sessions: readonly SessionInfo[], ends = false): ResultFor<'holdfast.sessions'> {
  const told = sessions.filter(({ replaced }) => !replaced);
  return {
    sessions: told.map((session) =>
      ends ? { ...sessionObject(session), endAsked: session.endAsked } : sessionObject(session),
    ),
  };
}

/** Spec extensions.md §2.1. */
function sessionObject(session: SessionInfo): Encodable<ToldSession> {
  const { exit } = session;
  return {
    id: session.id,
    pid: session.pid,
    startTime: session.startTime,
    command: session.command,
    args: session.args,
    cwd: session.cwd,
    state: session.state,
    spawnedAt: session.spawnedAt,
    exitedAt: exit?.at,
    exitCode: exit?.code,
    signal: exit?.signal,
    killedBy: exit?.killedBy,
    attached: session.attached,
    observers: session.observers,
    sinceAttachChange: session.sinceAttachChange,
    unseenExit: session.unseenExit,
    firstSeq: session.firstSeq,
    lastSeq: session.lastSeq,
    outBytes: session.outBytes,
    errBytes: session.errBytes,
    inBytes: session.inBytes,
    stdinQueued: session.stdinQueued,
    stdinClosed: session.stdinClosed,
    windowBytes: session.windowBytes,
    spoolBytes: session.spoolBytes,
    paced: session.paced,
    door: session.door ?? 'rpc',
  };
}
