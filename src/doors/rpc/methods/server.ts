/** `server.*` (spec wire.md §7). None of them looks at its params. */
import type { Platform } from '../../../../platform/platform.ts';
import type { PeerCheck } from '../../../base/start-markers.ts';
import type { Profile } from '../../../wire/profile.ts';
import { noParams } from '../params.ts';
import { Answer, defineMethod, type Method } from './method.ts';

/** Who this daemon is, stamped once at its start. */
export interface DaemonIdentity {
  /** The build id `-version` prints. */
  readonly version: string;
  /** 32 lower-case hex digits. */
  readonly instanceId: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  /** Whether callers in a sandbox are told from others: nobody asked for it, or this build cannot. */
  readonly peerCheck: PeerCheck;
}

export interface ServerServices {
  readonly platform: Platform;
  readonly profile: Profile;
  readonly daemon: DaemonIdentity;
  /** Begins the end of the daemon; more requests of the kind change nothing. */
  requestShutdown(): void;
}

export const serverMethods: readonly Method<ServerServices>[] = [
  defineMethod({
    name: 'server.ping',
    params: noParams,
    run: () => ({ pong: true }),
  }),

  defineMethod({
    name: 'server.version',
    params: noParams,
    run: (_, { services: { daemon, platform } }) => ({
      version: daemon.version,
      platform: platform.os,
      arch: platform.arch,
    }),
  }),

  defineMethod({
    name: 'server.capabilities',
    params: noParams,
    run(_, { services: { daemon, platform, profile } }) {
      const { methods, features, featuresNotOnWindows, capabilitiesIdentity, peerCheck } = profile.server;
      return {
        version: daemon.version,
        methods,
        instanceId: capabilitiesIdentity ? daemon.instanceId : undefined,
        startedAt: capabilitiesIdentity ? daemon.startedAt : undefined,
        features: platform.git.externalRoots ? features : features.filter((f) => !featuresNotOnWindows.includes(f)),
        peerCheck: peerCheck ? daemon.peerCheck : undefined,
      };
    },
  }),

  defineMethod({
    name: 'server.shutdown',
    params: noParams,
    needsToken: (profile) => profile.server.shutdownNeedsAuth,
    run: (_, { services }) =>
      new Answer(services.profile.server.shutdownReply ? { ok: true } : undefined, {
        // The end closes every connection, so the reply is queued before it begins.
        afterwards: () => services.requestShutdown(),
      }),
  }),
];
