/**
 * Members of a mesh for tests: ed25519 keys made by node:crypto, and the config.json that joins one to a broker
 * (spec mesh.md §1). Independent of the product's libsodium.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

export interface Member {
  readonly meshId: string;
  readonly memberId: string;
  readonly displayName: string;
  /** 64 hex digits. */
  readonly pubkey: string;
  /** 128 hex digits: the seed, followed by the public key. */
  readonly secretKey: string;
}

export function newMember(displayName: string, meshId = 'M1'): Member {
  return memberOf(displayName, generateKeyPairSync('ed25519').privateKey, meshId);
}

/** The member whose seed is known, for published vectors. @param seed 32 bytes */
export function memberOfSeed(displayName: string, seed: Uint8Array, meshId = 'M1'): Member {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return memberOf(displayName, createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }), meshId);
}

function memberOf(displayName: string, key: KeyObject, meshId: string): Member {
  const { d, x } = key.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url').toString('hex');
  const pubkey = Buffer.from(x ?? '', 'base64url').toString('hex');
  return { meshId, memberId: `member-${displayName}`, displayName, pubkey, secretKey: seed + pubkey };
}

/** For `verify` of node:crypto. @throws Error when these are no 64 hex digits of a key */
export function verificationKey(pubkey: string): KeyObject {
  const x = Buffer.from(pubkey, 'hex').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

/** The content of `config.json` of somebody who has joined one mesh. */
export function configOf(member: Member, brokerUrl: string, slug = 'smoke-test'): object {
  const { meshId, memberId, displayName, pubkey, secretKey } = member;
  return {
    version: 1,
    displayName,
    meshes: [
      {
        ...{ meshId, memberId, slug, name: 'Smoke Test', pubkey, secretKey, brokerUrl },
        joinedAt: '2026-11-21T00:00:00.000Z',
        inviteVersion: 1,
      },
    ],
  };
}
