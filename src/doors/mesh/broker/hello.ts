/** The first frame of a connection: who we are, signed with the member key (spec mesh.md §9.2). */
import { createPrivateKey, sign } from 'node:crypto';
import type { Member } from './member.ts';

/** What a broker shows others of this process. */
export interface Presence {
  readonly displayName: string;
  readonly pid: number;
  readonly cwd: string;
  readonly hostname: string;
}

/** @param timestamp milliseconds since the epoch; a broker allows its clock to differ by 60 s */
export function helloFrame(member: Member, presence: Presence, timestamp: number): object {
  const { meshId, memberId, pubkey } = member;
  const { displayName, pid, cwd, hostname } = presence;
  return {
    ...{ type: 'hello', meshId, memberId, pubkey, displayName, sessionId: `daemon-${pid}`, pid, cwd, hostname },
    ...{ peerType: 'ai', channel: 'claudemesh-daemon', timestamp, signature: helloSignature(member, timestamp) },
  };
}

/** 128 hex digits: ed25519 over `meshId|memberId|pubkey|timestamp`. */
export function helloSignature({ meshId, memberId, pubkey, secretKey }: Member, timestamp: number): string {
  const text = `${meshId}|${memberId}|${pubkey}|${timestamp}`;
  return sign(null, Buffer.from(text), signingKey(secretKey)).toString('hex');
}

/** The fixed head of a PKCS #8 document of an ed25519 key; the 32 bytes of the seed follow it. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');

function signingKey(secretKey: string) {
  const seed = Buffer.from(secretKey, 'hex').subarray(0, 32);
  return createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' });
}
