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
 * Whether something in `environment` has an effect on our runtime, or is a secret that whoever may look at our processes
 * must not find there. The single executable ignores `NODE_OPTIONS`, and has no modules to be found.
 */
export function steersRuntime(environment: NodeJS.ProcessEnv): boolean {
  const harmless: ReadonlySet<string> = new Set([
    'NODE_OPTIONS',
    'NODE_PATH',
    'NODE_PRESERVE_SYMLINKS',
    'NODE_PRESERVE_SYMLINKS_MAIN',
  ]);
  return [...heldVariables, ...channelVariables, ambientTokenVariable].some(
    (name) => environment[name] !== undefined && !harmless.has(name),
  );
}
