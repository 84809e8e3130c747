/**
 * crypto_box written a second time, from the papers: no line of libsodium, so that the product's boxes are checked by
 * somebody else. From node:crypto come SHA-512 and X25519; the conversion of keys, Salsa20 and Poly1305 are here.
 */
import { createHash, createPrivateKey, createPublicKey, diffieHellman, timingSafeEqual } from 'node:crypto';

const prime = 2n ** 255n - 19n;

/** Of an ed25519 public key, 64 hex digits: u = (1 + y) / (1 - y). */
export function x25519Public(ed25519: string): Buffer {
  const bytes = Buffer.from(ed25519, 'hex');
  bytes[31] = (bytes[31] ?? 0) & 0x7f;
  const y = littleEndian(bytes);
  const u = modulo((1n + y) * power(modulo(1n - y, prime), prime - 2n), prime);
  return toBytes(u, 32);
}

/** Of an ed25519 secret key, 128 hex digits: half of the SHA-512 of the seed; X25519 clamps it. */
export function x25519Secret(ed25519: string): Buffer {
  const seed = Buffer.from(ed25519, 'hex').subarray(0, 32);
  return createHash('sha512').update(seed).digest().subarray(0, 32);
}

/** Standard base64 of the box. */
export function sealForeign(message: Buffer, nonce: Buffer, recipient: string, ownSecret: string): string {
  const { authenticator, cipher } = parts(nonce, recipient, ownSecret, message);
  return Buffer.concat([poly1305(cipher, authenticator), cipher]).toString('base64');
}

/** `undefined` when somebody else sealed it, or for somebody else. */
export function openForeign(box: string, nonce: Buffer, sender: string, ownSecret: string): Buffer | undefined {
  const bytes = Buffer.from(box, 'base64');
  const cipher = bytes.subarray(16);
  const { authenticator, cipher: message } = parts(nonce, sender, ownSecret, cipher);
  return timingSafeEqual(poly1305(cipher, authenticator), bytes.subarray(0, 16)) ? message : undefined;
}

/** The first 32 bytes of the key stream are the one-time key, the others hide the message. */
function parts(nonce: Buffer, other: string, own: string, text: Buffer) {
  const shared = agreed(x25519Secret(own), x25519Public(other));
  const key = hsalsa20(hsalsa20(shared, Buffer.alloc(16)), nonce.subarray(0, 16));
  const stream = salsa20(key, nonce.subarray(16), 32 + text.length);
  return { authenticator: stream.subarray(0, 32), cipher: exclusiveOr(text, stream.subarray(32)) };
}

function agreed(secret: Buffer, other: Buffer): Buffer {
  const privateKey = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]),
    ...({ format: 'der', type: 'pkcs8' } as const),
  });
  const publicKey = createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), other]),
    ...({ format: 'der', type: 'spki' } as const),
  });
  return diffieHellman({ privateKey, publicKey });
}

const sigma = Buffer.from('expand 32-byte k');

function stateOf(key: Buffer, input: Buffer): Uint32Array {
  const word = (bytes: Buffer, index: number): number => bytes.readUInt32LE(4 * index);
  const state = new Uint32Array(16);
  for (let index = 0; index < 4; index++) {
    state[5 * index] = word(sigma, index);
    state[1 + index] = word(key, index);
    state[6 + index] = word(input, index);
    state[11 + index] = word(key, 4 + index);
  }
  return state;
}

function rounds(input: Uint32Array): Uint32Array {
  const x = Uint32Array.from(input);
  const quarter = (a: number, b: number, c: number, d: number): void => {
    const step = (target: number, left: number, right: number, bits: number): void => {
      const sum = ((x[left] ?? 0) + (x[right] ?? 0)) >>> 0;
      x[target] = (x[target] ?? 0) ^ ((sum << bits) | (sum >>> (32 - bits)));
    };
    step(b, a, d, 7);
    step(c, b, a, 9);
    step(d, c, b, 13);
    step(a, d, c, 18);
  };
  for (let round = 0; round < 10; round++) {
    quarter(0, 4, 8, 12);
    quarter(5, 9, 13, 1);
    quarter(10, 14, 2, 6);
    quarter(15, 3, 7, 11);
    quarter(0, 1, 2, 3);
    quarter(5, 6, 7, 4);
    quarter(10, 11, 8, 9);
    quarter(15, 12, 13, 14);
  }
  return x;
}

function hsalsa20(key: Buffer, input: Buffer): Buffer {
  const x = rounds(stateOf(key, input));
  const result = Buffer.alloc(32);
  for (const [index, from] of [0, 5, 10, 15, 6, 7, 8, 9].entries()) {
    result.writeUInt32LE(x[from] ?? 0, 4 * index);
  }
  return result;
}

/** @param nonce 8 bytes */
function salsa20(key: Buffer, nonce: Buffer, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let block = 0; 64 * block < length; block++) {
    const input = Buffer.alloc(16);
    nonce.copy(input);
    input.writeUInt32LE(block, 8);
    const state = stateOf(key, input);
    const mixed = rounds(state);
    const bytes = Buffer.alloc(64);
    for (let index = 0; index < 16; index++) {
      bytes.writeUInt32LE(((state[index] ?? 0) + (mixed[index] ?? 0)) >>> 0, 4 * index);
    }
    blocks.push(bytes);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

function poly1305(text: Buffer, key: Buffer): Buffer {
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const s = littleEndian(key.subarray(16, 32));
  let sum = 0n;
  for (let start = 0; start < text.length; start += 16) {
    const part = text.subarray(start, start + 16);
    sum = ((sum + littleEndian(part) + 2n ** BigInt(8 * part.length)) * r) % (2n ** 130n - 5n);
  }
  return toBytes((sum + s) % 2n ** 128n, 16);
}

function exclusiveOr(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, index) => byte ^ (other[index] ?? 0)));
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes).reverse().toString('hex')}`);
}

function toBytes(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex').reverse();
}

function modulo(value: bigint, modulus: bigint): bigint {
  return ((value % modulus) + modulus) % modulus;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base;
  for (let left = exponent; left > 0n; left >>= 1n) {
    result = left & 1n ? (result * square) % prime : result;
    square = (square * square) % prime;
  }
  return result;
}
