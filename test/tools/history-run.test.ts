/** The whole chain: real children that keep a log, clients that are observed, the real daemon, and the checker over all of it. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { checkHistory, describeViolations } from './history.ts';
import { historyObserver } from './history-observer.ts';
import { HistoryLog, type HistoryRecord, type RecordOf, readHistory } from './history-records.ts';
import { connectRaw, type RawConnection } from './raw-connection.ts';

/** Output through connections that are cut in the middle of a frame, input that is repeated after each cut. */
async function run(): Promise<HistoryRecord[]> {
  await using daemon = await startDaemon();
  const file = (name: string) => join(daemon.dir, name);
  await using proxy = await startFaultProxy({ listen: file('proxy'), target: daemon.socket });
  using log = new HistoryLog(file('clients'), 'clients');
  const observer = historyObserver(log, 'hashes');
  const through = { socket: proxy.address, token: daemon.token };

  const noise = ['--bytes', '2000000', '--write', '3000', '--seed', 's', '--log', file('noise'), '--session', 'noise'];
  proxy.setRules({ toClient: 'cut 150001' });
  let client: RawConnection = await connectRaw(through, { name: 'c0', observer });
  await client.spawn('noise', ...fixture('write-noise.ts', ...noise));
  await client.spawn('echo', ...fixture('echo-lines.ts', '--log', file('echo'), '--session', 'echo'), {
    wantPid: true,
  });

  let sent = 0;
  for (let connection = 1; client.stream('noise').exit === undefined || connection < 4; connection++) {
    const line = `line ${connection} of input\n`;
    client.post('process.stdin', { id: 'echo', data: Buffer.from(line).toString('base64'), offset: sent });
    await client.waitFor(() => client.ended || client.stream('noise').exit, 'the cut').catch(() => {});
    client.destroy();
    client = await connectRaw(daemon, { name: `c${connection}`, observer, continues: client });
    // The same line again with its offset: once, whether the first one arrived or not.
    await client.stdin('echo', line, sent);
    sent += line.length;
    await client.reattach('echo');
    await client.waitFor(() => client.stream('echo').bytes.stdout === sent, 'the echo');
    client.destroy();
    client = await connectRaw(through, { name: `d${connection}`, observer, continues: client });
    client.post('process.reattach', { id: 'noise', fromSeq: client.stream('noise').lastSeq });
  }
  client.destroy();
  client = await connectRaw(daemon, { name: 'last', observer, continues: client });
  await client.reattach('noise');
  await client.reattach('echo');
  await client.kill('echo');
  await client.exitOf('echo');
  client.destroy();
  for (const session of ['noise', 'echo']) {
    log.add({ what: 'complete', session, output: true, input: true });
  }
  return readHistory(['clients', 'noise', 'echo'].map(file));
}

test('a client that is cut off again and again gets every byte once and applies every line once', {
  timeout: 120_000,
}, async () => {
  const records = await run();
  expect(describeViolations(checkHistory(records))).toBe('');
  expect(records.filter(({ what }) => what === 'closed').length).toBeGreaterThan(8);

  // The verdict hangs on each kind of record: without one of them it is another.
  const frames = records.filter((record) => record.what === 'frame' && record.session === 'noise');
  const middle = frames.find((frame, index) =>
    [frames[index - 1], frames[index + 1]].every(
      (other) => other?.what === 'frame' && frame.what === 'frame' && other.connection === frame.connection,
    ),
  );
  expect(middle).toBeDefined();
  const without = (gone: (record: HistoryRecord) => boolean) =>
    checkHistory(records.filter((record) => !gone(record))).map(({ rule }) => rule);
  expect(without((record) => record === middle)).toContain('frames-contiguous');
  expect(without(({ what }) => what === 'exit')).toContain('output-complete');
  expect(without(({ what }) => what === 'read')).toContain('stdin-complete');
  expect(without(({ what }) => what === 'writes')).toContain('child-log');
  const readTwice = records.map((record) => ({ ...record }) as HistoryRecord);
  const first = readTwice.findIndex(({ what }) => what === 'read');
  const doubled = readTwice[first] as RecordOf<'read'>;
  let offset = 0;
  const shifted = readTwice.toSpliced(first, 0, doubled).map((record) => {
    if (record.what !== 'read') {
      return record;
    }
    const moved = { ...record, offset };
    offset += record.bytes;
    return moved;
  });
  expect(checkHistory(shifted).map(({ rule }) => rule)).toEqual([expect.stringMatching(/^stdin-(once|bytes)$/)]);
});
