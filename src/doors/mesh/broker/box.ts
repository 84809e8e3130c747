/**
 * Messages that only one member can read: crypto_box (X25519, XSalsa20-Poly1305) between ed25519 member keys that are
 * converted to X25519 (spec mesh.md §9.5).
 */
import { randomBytes } from 'node:crypto';
import sodium from 'libsodium-wrappers';
import { isKey } from './member.ts';

/** As the frames carry them: standard base64 with padding. */
export interface Sealed {
  readonly nonce: string;
  readonly ciphertext: string;
}

const nonceBytes = 24;
/** Shared keys that are kept; a broker may make up senders without end. */
const mostShared = 256;
/** Of Poly1305. A box is so much longer than its message. */
export const boxOverhead = 16;

/** The text is a broker's or a user's: 64 hex digits that are no point of the curve, or one of small order. */
export class InvalidMemberKey extends Error {
  override readonly name = 'InvalidMemberKey';
}

export class MemberBox {
  readonly #secret: Uint8Array;
  readonly #shared = new Map<string, Uint8Array>();

  private constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** @param secretKey 128 hex digits, the seed followed by the public key */
  static async of(secretKey: string): Promise<MemberBox> {
    await sodium.ready;
    return new MemberBox(sodium.crypto_sign_ed25519_sk_to_curve25519(Buffer.from(secretKey, 'hex')));
  }

  /** @param nonce 24 bytes that were never used with this pair of keys @throws InvalidMemberKey */
  seal(message: Uint8Array, recipient: string, nonce: Uint8Array = randomBytes(nonceBytes)): Sealed {
    const key = this.#sharedWith(recipient);
    if (key === undefined) {
      throw new InvalidMemberKey(`invalid member key ${recipient}`);
    }
    return { nonce: base64(nonce), ciphertext: base64(sodium.crypto_box_easy_afternm(message, nonce, key)) };
  }

  /** The message; `undefined` when it was not sealed by `sender` for us. */
  open(nonce: Uint8Array, box: Uint8Array, sender: string): Uint8Array | undefined {
    const key = nonce.length === nonceBytes && box.length >= boxOverhead ? this.#sharedWith(sender) : undefined;
    if (key === undefined) {
      return undefined;
    }
    try {
      return sodium.crypto_box_open_easy_afternm(box, nonce, key);
    } catch {
      return undefined;
    }
  }

  /** The key that we share with a member; two members write to each other often, and it is dear to compute. */
  #sharedWith(member: string): Uint8Array | undefined {
    const known = this.#shared.get(member);
    if (known !== undefined) {
      return known;
    }
    const theirs = encryptionKey(member);
    if (theirs === undefined) {
      return undefined;
    }
    const key = sodium.crypto_box_beforenm(theirs, this.#secret);
    const [oldest] = this.#shared.size < mostShared ? [] : this.#shared.keys();
    if (oldest !== undefined) {
      this.#shared.delete(oldest);
    }
    this.#shared.set(member, key);
    return key;
  }
}

/** For everybody: not encrypted, but in the same two fields. */
export function plain(message: Uint8Array): Sealed {
  return { nonce: base64(randomBytes(nonceBytes)), ciphertext: base64(message) };
}

/** `undefined` for what is no standard base64; padding may be missing. */
export function fromBase64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function encryptionKey(member: string): Uint8Array | undefined {
  if (!isKey(member)) {
    return undefined;
  }
  try {
    return sodium.crypto_sign_ed25519_pk_to_curve25519(Buffer.from(member, 'hex'));
  } catch {
    return undefined;
  }
}
