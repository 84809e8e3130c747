import { expect, test } from 'vitest';
import { type Frame, FrameReader } from '../../src/client/frame-reader.ts';
import { FrameWriter } from '../../src/wire/frames.ts';

function outputFrame(id: string, stream: 'stdout' | 'stderr', seq: number, data: Buffer): Buffer {
  const writer = new FrameWriter(id);
  const frame = Buffer.alloc(writer.dataSize(stream, seq, data.length));
  writer.writeData(frame, 0, stream, seq, data);
  return frame;
}

function framesOf(chunks: readonly Buffer[]): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push(frame);
    }
  }
  return frames;
}

/** Ids that hold what stands between the keys of a frame, as text. */
const ids = ['p1', 'a<b>&"c"\\', '","stream":"stdout","seq":9,"data":"', 'ü 😀 \u2028', 'x'.repeat(300)];

test('frames as the daemon writes them come back whatever the id and wherever the bytes are split', () => {
  const expected: Frame[] = [];
  const bytes: Buffer[] = [];
  let seq = 1;
  for (const processId of ids) {
    for (const stream of ['stdout', 'stderr', 'stdout'] as const) {
      const data = Buffer.from(`${processId} ${seq}`.repeat(seq % 5));
      bytes.push(outputFrame(processId, stream, seq, data));
      expected.push({ type: 'output', processId, stream, seq, data });
      seq++;
    }
    bytes.push(new FrameWriter(processId).exit(seq, { code: -1, signal: 'SIGTERM' }, true, 'client'));
    expected.push({ type: 'exit', processId, seq, exitCode: -1, signal: 'SIGTERM', killedBy: 'client' });
    bytes.push(Buffer.from(`{"jsonrpc":"2.0","id":${seq},"result":{"text":"é"}}\n`));
    expected.push({ type: 'reply', id: seq, result: { text: 'é' }, error: undefined });
    seq++;
  }
  const whole = Buffer.concat(bytes);
  expect(framesOf([whole])).toEqual(expected);
  for (const step of [1, 7, 64, 1000]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / step) }, (_, index) =>
      whole.subarray(index * step, (index + 1) * step),
    );
    expect(framesOf(chunks)).toEqual(expected);
  }
});

test('frames that are pushed tell their event', () => {
  const gap = '{"type":"holdfast","event":"gap","processId":"p1","from":12,"to":40}\n';
  expect(framesOf([Buffer.from(gap)])).toMatchObject([
    { type: 'pushed', event: 'gap', processId: 'p1', fields: { from: 12, to: 40 } },
  ]);
});

test('a line that was cut is no frame', () => {
  const frame = outputFrame('p1', 'stdout', 1, Buffer.from('hello'));
  expect(framesOf([frame.subarray(0, -1)])).toEqual([]);
});

test.each([
  'welcome',
  '{"id":1',
  'null',
  '[]',
  '{"type":"stream","processId":"p1","stream":"stdout","seq":1}',
  '{"type":"stream","processId":"p1","stream":"stdout","seq":"1","data":""}',
  '{"type":"stream","processId":5,"stream":"exit","seq":1,"exitCode":0}',
  '{"jsonrpc":"2.0","id":1}',
])('%s is refused, with the line in the error', (line) => {
  expect(() => framesOf([Buffer.from(`${line}\n`)])).toThrow(
    expect.objectContaining({ kind: 'protocol', message: expect.stringContaining(JSON.stringify(line.slice(0, 80))) }),
  );
});
