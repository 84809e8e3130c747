/** Fault table: garbage bytes, deep nesting, invalid UTF-8, a line one byte too long. Nothing else is disturbed by them. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const parseError = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}';
/** spec wire.md §2.3: bytes before the line end. */
const longestLine = 1_048_575;

describe.each(['S', 'current'] as const)('profile %s', (profile) => {
  test('garbage bytes get one parse error a line, and the same connection goes on working', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    const lines = Array.from({ length: 200 }, (_, length) => withoutLineEnds(randomBytes(length + 1)));
    for (const line of lines) {
      client.send(line);
      client.send('\n');
    }
    await client.call('server.ping');
    // A lone carriage return is an empty line, which is skipped.
    const asked = lines.filter((line) => !(line.length === 1 && line[0] === 0x0d)).length;
    expect(client.lines.slice(0, -1)).toEqual(Array(asked).fill(parseError));
  });

  test('JSON nested ten thousand deep is served, one level more is a parse error, a million levels too', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    const nested = (levels: number) =>
      // The request object itself is the first level.
      `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}","params":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    client.sendLine(nested(10_000));
    client.sendLine(nested(10_001));
    client.sendLine('['.repeat(1_000_000));
    client.sendLine('{"id":'.repeat(100_000));
    await client.waitFor(() => client.lines.length === 4, 'four replies');
    expect(client.lines).toEqual([
      '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}',
      parseError,
      parseError,
      parseError,
    ]);
    await client.call('server.ping');
  });

  test('invalid UTF-8 in a string is repaired byte by byte, anywhere else it is a parse error', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    const request = (id: string) =>
      Buffer.from(`{"jsonrpc":"2.0","id":"${id}","method":"server.ping","auth":"${daemon.token}"}`, 'latin1');
    client.send(Buffer.concat([request('\xff\xfe'), Buffer.from('\n')]));
    client.send(Buffer.concat([request('\xe2\x82'), Buffer.from('\n')]));
    client.send(Buffer.concat([request('\xed\xa0\x80'), Buffer.from('\n')]));
    client.send(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), request('bom'), Buffer.from('\n')]));
    client.send(Buffer.concat([request('tail'), Buffer.from([0xc3, 0x28, 0x0a])]));
    await client.waitFor(() => client.lines.length === 5, 'five replies');
    const pong = (id: string) => `{"jsonrpc":"2.0","id":"${id}","result":{"pong":true}}`;
    expect(client.lines).toEqual([
      pong('\ufffd\ufffd'),
      pong('\ufffd\ufffd'),
      pong('\ufffd\ufffd\ufffd'),
      parseError,
      parseError,
    ]);
  });

  test('a line of the longest length is served, one byte more closes that connection without a reply and no other', async () => {
    await using daemon = await startDaemon({ profile });
    await using bystander = await connectRaw(daemon);
    await bystander.spawn('p', 'cat');

    await using longest = await connectRaw(daemon);
    const head = `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}","x":"`;
    longest.sendLine(`${head}${'y'.repeat(longestLine - head.length - 2)}"}`);
    await longest.waitFor(() => longest.replies.length === 1, 'the reply to the longest line');
    expect(longest.lines).toEqual(['{"jsonrpc":"2.0","id":1,"result":{"pong":true}}']);

    await using tooLong = await connectRaw(daemon);
    tooLong.sendLine(`${head}${'y'.repeat(longestLine - head.length - 1)}"}`);
    await tooLong.untilClosed();
    expect(tooLong.lines).toEqual([]);

    await using endless = await connectRaw(daemon);
    endless.send(Buffer.alloc(longestLine + 1, 'x'));
    await endless.untilClosed();
    expect(endless.lines).toEqual([]);

    await bystander.stdin('p', 'still here\n');
    await bystander.untilOutput('p', 'still here\n');
    await longest.call('server.ping');
    await daemon.untilLogged(/WARN .*line longer than 1048575 bytes; closing connection/);
  });
});

function withoutLineEnds(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte === 0x0a ? 0x0b : byte)));
}
