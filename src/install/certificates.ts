/** Which certificate authorities a download trusts. */
import * as tls from 'node:tls';

// Node.js 22.15 has it; an older one still starts and says what it lacks.
const read: ((kind: 'default' | 'system') => string[]) | undefined = tls.getCACertificates;

/**
 * The authorities Node.js brings along, those of `NODE_EXTRA_CA_CERTS`, and the system's store, where a host's own
 * authority is (`SSL_CERT_FILE` and `SSL_CERT_DIR` move it). `undefined`: only what Node.js trusts by itself.
 * @param warn takes one line
 */
export function trustedAuthorities(warn: (text: string) => void): string[] | undefined {
  if (read === undefined) {
    warn("this Node.js cannot read the system's certificate store; name a private authority in NODE_EXTRA_CA_CERTS");
    return undefined;
  }
  try {
    return [...new Set([...read('default'), ...read('system')])];
  } catch (error) {
    warn(`the system's certificate store cannot be read: ${(error as Error).message}`);
    return undefined;
  }
}
