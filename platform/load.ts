/** The one place that asks which operating system this is. Everything else receives a `Platform` or a `ClientPlatform`. */
import { HostError } from './errors.ts';
import type { ClientPlatform, Platform, SessionPlatform } from './platform.ts';

/** Loaded on demand: neither the bindings of the other OS nor what a keeper or a client does without are ever looked up. */
interface Adapter {
  readonly whole: () => Promise<{ createPlatform(): Platform }>;
  readonly forSessions: () => Promise<{ createSessionPlatform(): SessionPlatform }>;
  readonly forClients: () => Promise<{ createClientPlatform(): ClientPlatform }>;
}

const posix: Adapter = {
  whole: () => import('./posix/index.ts'),
  forSessions: () => import('./posix/session-platform.ts'),
  forClients: () => import('./posix/client-platform.ts'),
};
const win32: Adapter = {
  whole: () => import('./win32/index.ts'),
  forSessions: () => import('./win32/session-platform.ts'),
  forClients: () => import('./win32/client-platform.ts'),
};
const adapters: Partial<Record<NodeJS.Platform, Adapter>> = { linux: posix, darwin: posix, win32 };

/** Everything: for the daemon, and for modes and verbs that work on the host. @throws HostError on an OS without adapter */
export async function loadPlatform(os: NodeJS.Platform = process.platform): Promise<Platform> {
  return (await adapterOf(os).whole()).createPlatform();
}

/** For a keeper. @throws HostError on an OS without adapter */
export async function loadSessionPlatform(os: NodeJS.Platform = process.platform): Promise<SessionPlatform> {
  return (await adapterOf(os).forSessions()).createSessionPlatform();
}

/** For processes that only talk to a daemon. @throws HostError on an OS without adapter */
export async function loadClientPlatform(os: NodeJS.Platform = process.platform): Promise<ClientPlatform> {
  return (await adapterOf(os).forClients()).createClientPlatform();
}

function adapterOf(os: NodeJS.Platform): Adapter {
  const adapter = adapters[os];
  if (adapter === undefined) {
    throw new HostError(`no adapter for ${os}`, `supported: ${Object.keys(adapters).join(', ')}`);
  }
  return adapter;
}
