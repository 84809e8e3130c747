import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { signatureOf } from '../../../src/doors/agent/signature.ts';

const token = 'agt_test_token';
const timestamp = 1_700_000_000_000;
const output = {
  method: 'POST',
  path: '/api/agent/v1/sessions/session-123/output',
  timestamp,
  body: Buffer.from(
    '{"sessionId":"session-123","firstSeq":1,"lastSeq":1,"chunks":[{"seq":1,"stream":"stdout","ts":1700000000000,"data":"aGVsbG8K"}]}',
  ),
};
const poll = { method: 'GET', path: '/api/agent/v1/instructions?max=20', timestamp, body: Buffer.alloc(0) };

/** The check as a server author in another language would write it. */
const python = `
import hashlib, hmac, sys
method, path, timestamp, body = sys.argv[1], sys.argv[2], sys.argv[3], sys.stdin.buffer.read()
text = "\\n".join(["v1", method, path, timestamp, hashlib.sha256(body).hexdigest()])
print("sha256=" + hmac.new(b"${token}", text.encode(), hashlib.sha256).hexdigest())
`;

function pythonsSignature({ method, path, timestamp: at, body }: typeof output): string {
  return execFileSync('python3', ['-c', python, method, path, String(at)], { input: body, encoding: 'utf8' }).trim();
}

describe('10: the signature', () => {
  test('of an output request is that of the page', () => {
    expect(signatureOf(output, token)).toBe('sha256=701103ba003c8788a4d13fe4a5b207378eef8089fbe6a7b082d3a7b7a5b0a1a4');
  });

  test('of a poll is that of the page', () => {
    expect(signatureOf(poll, token)).toBe('sha256=f3d93d698acce2c0857906f6c74c4aff270a299d555964cef749c146ea60fe84');
  });

  test.each([
    ['an output request', output],
    ['a poll', poll],
    ['a body that is not UTF-8', { ...output, body: Buffer.from([0xff, 0, 0x0a]) }],
  ])('of %s is what a server in Python computes', (_name, request) => {
    expect(pythonsSignature(request)).toBe(signatureOf(request, token));
  });

  test.each([
    ['body', { ...output, body: Buffer.concat([output.body.subarray(1), Buffer.from('}')]) }],
    ['path', { ...output, path: '/api/agent/v1/sessions/session-124/output' }],
    ['timestamp', { ...output, timestamp: timestamp + 1 }],
    ['method', { ...output, method: 'PUT' }],
  ])('is another one when one character of the %s is', (_name, request) => {
    expect(signatureOf(request, token)).not.toBe(signatureOf(output, token));
    expect(pythonsSignature(request)).toBe(signatureOf(request, token));
  });
});
