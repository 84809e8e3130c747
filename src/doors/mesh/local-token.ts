/** The token that programs must show on the TCP port (spec mesh.md §1). It is kept across restarts. */
import { randomBytes } from 'node:crypto';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import { tokenFileName } from './folders.ts';

const tokenBytes = 32;
const form = /^[A-Za-z0-9_-]{43}$/;

/** A file that holds no token, whatever it is, gives way to one that does. @throws Node's error */
export function localToken(directory: RunDirectory): string {
  const kept = directory.readText(tokenFileName, 256)?.trimEnd() ?? '';
  if (form.test(kept)) {
    return kept;
  }
  const token = randomBytes(tokenBytes).toString('base64url');
  directory.publish(tokenFileName, Buffer.from(`${token}\n`));
  return token;
}
