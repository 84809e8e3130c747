/** Which certificate authorities a download trusts. */
import { readFileSync } from 'node:fs';
import * as tls from 'node:tls';
import type { Paths } from '../../platform/paths.ts';

// Node.js 22.15 and newer have this function. An older one still starts, and warns of what it lacks.
const read: ((kind: 'bundled' | 'system') => string[]) | undefined = tls.getCACertificates;

export interface AuthorityOptions {
  /** Where `NODE_EXTRA_CA_CERTS` may name a file. */
  readonly environment: NodeJS.ProcessEnv;
  readonly paths: Paths;
  /** Takes one line. */
  warn(text: string): void;
}

/**
 * The authorities Node.js brings along, those of `NODE_EXTRA_CA_CERTS`, and the system's store, where a host's own
 * authority is (`SSL_CERT_FILE` and `SSL_CERT_DIR` move it).
 */
export function trustedAuthorities(options: AuthorityOptions): string[] {
  return [...new Set([...ownAndSystem(options), ...extraAuthorities(options)])];
}

function ownAndSystem({ warn }: AuthorityOptions): readonly string[] {
  if (read === undefined) {
    warn("this Node.js cannot read the system's certificate store; name a private authority in NODE_EXTRA_CA_CERTS");
    return tls.rootCertificates;
  }
  try {
    // Not `default`: in the single executable that reads NODE_EXTRA_CA_CERTS once more, and complains in its own words.
    return [...read('bundled'), ...read('system')];
  } catch (error) {
    warn(`the system's certificate store cannot be read: ${(error as Error).message}`);
    return tls.rootCertificates;
  }
}

/** We read the file ourselves, because our runtime is started without the variable (src/base/own-process.ts). */
function extraAuthorities({ environment, paths, warn }: AuthorityOptions): string[] {
  const path = environment.NODE_EXTRA_CA_CERTS ?? '';
  if (path === '') {
    return [];
  }
  try {
    const text = readFileSync(path, 'latin1');
    if (/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/.test(text)) {
      return [text];
    }
    warn(`NODE_EXTRA_CA_CERTS is ignored: there is no certificate in ${path}`);
  } catch (error) {
    warn(`NODE_EXTRA_CA_CERTS is ignored: open ${path}: ${paths.reason(error)}`);
  }
  return [];
}
