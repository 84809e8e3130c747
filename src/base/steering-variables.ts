/** Variables by which the environment steers a Node.js process. Part of the shortest start, so nothing big is imported. */
import { ambientTokenVariable } from './start-markers.ts';

/**
 * Variables of Node and its OpenSSL that load code or files, or write diagnostics (threat 8). `bin/holdfast` and
 * `bin/holdfast.cmd` have the same list. The runtime reads `NODE_EXTRA_CA_CERTS` at every start and complains of a bad one
 * on stderr; only a download wants it, and reads it itself (src/install/certificates.ts).
 */
export const heldVariables = [
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_REPL_EXTERNAL_MODULE',
  'NODE_COMPILE_CACHE',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_ICU_DATA',
  'NODE_PRESERVE_SYMLINKS',
  'NODE_PRESERVE_SYMLINKS_MAIN',
  'NODE_REDIRECT_WARNINGS',
  'NODE_V8_COVERAGE',
  'NODE_EXTRA_CA_CERTS',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'OPENSSL_ENGINES',
] as const;

/** A channel to a parent that is a Node.js process itself: none of ours. */
export const channelVariables = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'NODE_UNIQUE_ID'] as const;

/**
 * What the runtime inside the single executable does not look at: the build closes that way, or nothing of ours goes it
 * (build/executable/inject.ts).
 */
const withoutEffect: ReadonlySet<string> = new Set([
  ...['NODE_OPTIONS', 'NODE_PATH', 'NODE_PRESERVE_SYMLINKS', 'NODE_PRESERVE_SYMLINKS_MAIN'],
  ...['NODE_REPL_EXTERNAL_MODULE', 'NODE_DEBUG_NATIVE'],
  ...['OPENSSL_CONF', 'OPENSSL_MODULES', 'OPENSSL_ENGINES'],
]);

/** The runtime reads it for a connection that is encrypted, of which only a download is one of ours with rules of its own. */
const certificatesVariable = 'NODE_EXTRA_CA_CERTS';
const asksForDownload = /^--?install(?:=|$)/;

/**
 * Whether something in `environment` has an effect on the runtime inside the single executable, or is a secret that whoever
 * may look at our processes must not find there.
 */
export function steersRuntime(environment: NodeJS.ProcessEnv, words: readonly string[]): boolean {
  const downloads = words.some((word) => asksForDownload.test(word));
  return [...heldVariables, ...channelVariables, ambientTokenVariable].some(
    (name) =>
      environment[name] !== undefined && !withoutEffect.has(name) && (name !== certificatesVariable || downloads),
  );
}
