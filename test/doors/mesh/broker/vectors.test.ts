/** The published vectors of hello and of encryption (spec mesh.md §9.2, §9.5), and the product against a second implementation. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemberBox, plain } from '../../../../src/doors/mesh/broker/box.ts';
import { helloFrame, helloSignature } from '../../../../src/doors/mesh/broker/hello.ts';
import { faultOf } from '../../../../src/doors/mesh/broker/member.ts';
import { openForeign, sealForeign } from '../foreign-crypto.ts';
import { memberOfSeed, newMember } from '../members.ts';

const bytes = (from: number, count: number): Buffer => Buffer.from(Array.from({ length: count }, (_, i) => from + i));
const sender = { ...memberOfSeed('a', bytes(0x00, 32)), memberId: 'm1', slug: 's', brokerUrl: 'ws://127.0.0.1:1/ws' };
const receiver = memberOfSeed('b', bytes(0x20, 32));
const nonce = bytes(0, 24);

describe('the published vectors', () => {
  test('the public key of the seed 00..1f, and that of 20..3f', () => {
    expect(sender.pubkey).toBe('03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8');
    expect(receiver.pubkey).toMatch(/^29acbae1.*6dd7$/);
    expect(faultOf(sender)).toBeUndefined();
  });

  test('a hello is signed as every broker checks it', () => {
    const signature =
      '1e3f917d8538adaa2230976ffed2a12a627e7febe3fdaff6c2b26a4917d36d0400c4381f2bedc9576e132d8d0b297237dfc536436a9abfd0eb7a3b558adc2c05';
    expect(helloSignature(sender, 1_700_000_000_000)).toBe(signature);
    const presence = { displayName: 'peer-a', pid: 13239, cwd: '/home/u', hostname: 'h' };
    expect(JSON.stringify(helloFrame(sender, presence, 1_700_000_000_000))).toBe(
      `{"type":"hello","meshId":"M1","memberId":"m1","pubkey":"${sender.pubkey}","displayName":"peer-a",` +
        `"sessionId":"daemon-13239","pid":13239,"cwd":"/home/u","hostname":"h","peerType":"ai",` +
        `"channel":"claudemesh-daemon","timestamp":1700000000000,"signature":"${signature}"}`,
    );
  });

  test('a message is encrypted as every other daemon decrypts it', async () => {
    const box = await MemberBox.of(sender.secretKey);
    const { ciphertext, nonce: sent } = box.seal(Buffer.from('hello'), receiver.pubkey, nonce);
    expect(ciphertext).toBe('Tqf373g78+KSAnm06Xi/iY/qbKdn');
    expect(sent).toBe(nonce.toString('base64'));
    const other = await MemberBox.of(receiver.secretKey);
    expect(Buffer.from(other.open(nonce, Buffer.from(ciphertext, 'base64'), sender.pubkey) ?? []).toString()).toBe(
      'hello',
    );
  });
});

describe('a second implementation', () => {
  test('makes the same boxes of the published keys', () => {
    expect(sealForeign(Buffer.from('hello'), nonce, receiver.pubkey, sender.secretKey)).toBe(
      'Tqf373g78+KSAnm06Xi/iY/qbKdn',
    );
  });

  test('reads what we encrypt, and we what it encrypts, for any keys and messages', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (text) => {
        const [one, other] = [newMember('one'), newMember('other')];
        const message = Buffer.from(text);
        const box = await MemberBox.of(one.secretKey);
        const sealed = box.seal(message, other.pubkey);
        const used = Buffer.from(sealed.nonce, 'base64');
        expect(openForeign(sealed.ciphertext, used, one.pubkey, other.secretKey)).toEqual(message);
        const theirs = Buffer.from(sealForeign(message, used, one.pubkey, other.secretKey), 'base64');
        expect(Buffer.from(box.open(used, theirs, other.pubkey) ?? [1])).toEqual(message);
      }),
      { numRuns: 20 },
    );
  });
});

describe('what was not sealed for us', () => {
  test('is not opened: another sender, another receiver, a flipped bit, a short box, a bad nonce', async () => {
    const [one, other, third] = [newMember('one'), newMember('other'), newMember('third')];
    const sealed = (await MemberBox.of(one.secretKey)).seal(Buffer.from('text'), other.pubkey);
    const used = Buffer.from(sealed.nonce, 'base64');
    const box = Buffer.from(sealed.ciphertext, 'base64');
    const theirs = await MemberBox.of(other.secretKey);
    expect(theirs.open(used, box, one.pubkey)).toBeDefined();
    expect(theirs.open(used, box, third.pubkey)).toBeUndefined();
    expect((await MemberBox.of(third.secretKey)).open(used, box, one.pubkey)).toBeUndefined();
    for (let index = 0; index < box.length; index++) {
      const flipped = Buffer.from(box);
      flipped[index] = (flipped[index] ?? 0) ^ 1;
      expect(theirs.open(used, flipped, one.pubkey)).toBeUndefined();
    }
    expect(theirs.open(used, box.subarray(0, 15), one.pubkey)).toBeUndefined();
    expect(theirs.open(used.subarray(1), box, one.pubkey)).toBeUndefined();
    expect(theirs.open(used, box, 'not a key')).toBeUndefined();
  });

  test('a key that is no point of the curve, or of small order, is refused by name', async () => {
    const box = await MemberBox.of(newMember('one').secretKey);
    const wrong = ['0'.repeat(64), `01${'0'.repeat(62)}`, `02${'0'.repeat(62)}`, 'f'.repeat(64)];
    for (const key of wrong) {
      expect(() => box.seal(randomBytes(3), key)).toThrow(`invalid member key ${key}`);
    }
  });

  test('two messages never share a nonce', async () => {
    const [one, other] = [newMember('one'), newMember('other')];
    const box = await MemberBox.of(one.secretKey);
    const nonces = Array.from({ length: 100 }, () => box.seal(Buffer.from('same'), other.pubkey).nonce);
    nonces.push(...Array.from({ length: 100 }, () => plain(Buffer.from('same')).nonce));
    expect(new Set(nonces).size).toBe(200);
  });
});

describe('an entry of config.json that no broker could accept', () => {
  test.each([
    ['pubkey', { pubkey: 'abc' }, /^pubkey must be 64/],
    ['secretKey', { secretKey: 'abc' }, /^secretKey must be 128/],
    ['the pair', { secretKey: receiver.secretKey }, /does not belong to pubkey/],
    ['the address', { brokerUrl: 'http://h' }, /^brokerUrl must be a ws:/],
    ['the address', { brokerUrl: 'nonsense' }, /^brokerUrl must be a ws:/],
  ])('names what is wrong with %s, and shows no secret', (_, change, fault) => {
    const text = faultOf({ ...sender, ...change });
    expect(text).toMatch(fault);
    expect(text).not.toContain(sender.secretKey.slice(0, 32));
  });
});
