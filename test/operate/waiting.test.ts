/** Which requests wait is read from the frames and from the input, never guessed. */
import { describe, expect, test } from 'vitest';
import type { SessionActivity } from '../../src/client/index.ts';
import { WaitingRequests } from '../../src/operate/waiting.ts';

const asks = (requestId: string, more: object = {}): string =>
  JSON.stringify({
    type: 'control_request',
    request_id: requestId,
    request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'ls' }, ...more },
  });
const answers = (requestId: string, more: object = {}): string =>
  `${JSON.stringify({ type: 'control_response', response: { subtype: 'success', request_id: requestId, ...more } })}\n`;

class Scene {
  readonly requests = new WaitingRequests(0);
  #seq = 0;
  #offset = 0;
  readonly #input: SessionActivity['input'][number][] = [];

  prints(...pieces: readonly (string | Buffer)[]): this {
    for (const piece of pieces) {
      this.requests.take({ type: 'stdout', seq: ++this.#seq, data: Buffer.from(piece) });
    }
    return this;
  }

  /** @param kept what the daemon has kept of it */
  isTyped(text: string, kept: readonly string[] = [text]): this {
    const parts = kept.map((part) => Buffer.from(part).toString('base64'));
    this.#input.push({ seq: this.#seq, offset: this.#offset, at: 1, length: Buffer.byteLength(text), kept: parts });
    this.#offset += Buffer.byteLength(text);
    return this;
  }

  get waiting(): string[] {
    this.requests.takeActivity({ outputAt: 7, input: this.#input });
    return this.requests.open.map(({ requestId }) => requestId);
  }
}

test('a request waits, with its tool, its input, and since when', () => {
  const scene = new Scene().prints(`${asks('r1')}\n`);
  expect(scene.waiting).toEqual(['r1']);
  expect(scene.requests.open).toMatchObject([{ tool: 'Bash', input: { command: 'ls' }, seq: 1, since: 7 }]);
});

describe('a request waits no more', () => {
  test.each<[string, (scene: Scene) => Scene]>([
    ['once its answer was typed', (scene) => scene.isTyped(answers('r1'))],
    [
      'when the answer came in two pieces',
      (scene) => scene.isTyped(answers('r1').slice(0, 60)).isTyped(answers('r1').slice(60)),
    ],
    [
      'when only the beginning of a long answer was kept',
      (scene) => scene.isTyped(answers('r1', { response: 'x'.repeat(9) }), [answers('r1').slice(0, -3), 'x"}}\n']),
    ],
    [
      'when the agent has taken it back',
      (scene) => scene.prints('{"type":"control_cancel_request","request_id":"r1"}\n'),
    ],
    ['when the turn is over', (scene) => scene.prints('{"type":"result","subtype":"success"}\n')],
    [
      'when its tool has a result',
      (scene) =>
        scene.prints(
          `${JSON.stringify({ type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 't1' }] } })}\n`,
        ),
    ],
  ])('%s', (_, happens) => {
    const scene = new Scene().prints(`${asks('r1', { tool_use_id: 't1' })}\n`);
    expect(scene.waiting).toEqual(['r1']);
    expect(happens(scene).waiting).toEqual([]);
  });
});

describe('a request goes on waiting', () => {
  test.each<[string, (scene: Scene) => Scene]>([
    ['when another one was answered', (scene) => scene.isTyped(answers('r2'))],
    [
      'when the user has typed a message meanwhile',
      (scene) => scene.isTyped('{"type":"user","message":{"content":"and?"}}\n'),
    ],
    [
      'when a message only speaks of an answer',
      (scene) => scene.isTyped(`${JSON.stringify({ type: 'user', message: { content: answers('r1') } })}\n`),
    ],
    ['when the answer came before it was asked', (scene) => scene.prints(`${asks('r1')}\n`)],
    [
      'when the agent prints what is no JSON',
      (scene) => scene.prints('{"type":"result"\n', Buffer.from([0x7b, 0xff, 0x0a]), '[1]\nnull\n"control_x"\n'),
    ],
    [
      'when a tool of another request has a result',
      (scene) => scene.prints('{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t9"}]}}\n'),
    ],
    ['while the agent says other things', (scene) => scene.prints('{"type":"stream_event"}\n'.repeat(100))],
  ])('%s', (_, happens) => {
    const scene = new Scene();
    if (_.includes('before it was asked')) {
      scene.prints('{}\n').isTyped(answers('r1'));
    } else {
      scene.prints(`${asks('r1', { tool_use_id: 't1' })}\n`);
    }
    expect(happens(scene).waiting).toEqual(['r1']);
  });
});

test('two requests wait beside each other, and each is answered by itself', () => {
  const scene = new Scene().prints(`${asks('r1')}\n${asks('r2')}\n`);
  expect(scene.waiting).toEqual(['r1', 'r2']);
  expect(scene.isTyped(answers('r2')).waiting).toEqual(['r1']);
  expect(scene.requests.settledAs('r2')).toBe('answered');
});

test('a line torn into single bytes, one of 10 MB, and a request of 10 MB are read whole', () => {
  const torn = [...Buffer.from(`${asks('r1')}\n`)].map((byte) => Buffer.from([byte]));
  const scene = new Scene().prints(...torn, `{"type":"assistant","text":"${'x'.repeat(10_000_000)}"}\n`);
  expect(scene.waiting).toEqual(['r1']);
  const large = asks('r2', { input: { content: 'y'.repeat(10_000_000) } });
  scene.prints(...(large.match(/.{1,65536}/gs) ?? []), '\n');
  expect(scene.waiting).toEqual(['r1', 'r2']);
});

test('an id of control characters and quotes is the same in the request and in the answer', () => {
  const odd = 'r\u001b[31m"\\\n\u202e\u0000ü';
  const scene = new Scene().prints(`${asks(odd)}\n`);
  expect(scene.waiting).toEqual([odd]);
  expect(scene.isTyped(answers(odd)).waiting).toEqual([]);
});

test('what is no request for a permission is none', () => {
  const scene = new Scene().prints(
    `${asks('r1', { subtype: 'hook_callback' })}\n`,
    '{"type":"control_request","request_id":7,"request":{"subtype":"can_use_tool"}}\n',
    '{"type":"control_request","request_id":"r2"}\n',
  );
  expect(scene.waiting).toEqual([]);
});

test('where frames are missing, the line around the gap is dropped and the next one read', () => {
  const requests = new WaitingRequests(5);
  // The first kept frame begins within a line.
  requests.take({ type: 'stdout', seq: 6, data: Buffer.from(`${asks('torn')}\n${asks('r1')}\n{"type":`) });
  requests.take({ type: 'gap', from: 7, to: 9 });
  requests.take({ type: 'stdout', seq: 10, data: Buffer.from(`"result"}\n${asks('r2')}\n`) });
  expect(requests.open.map(({ requestId }) => requestId)).toEqual(['r1', 'r2']);
  expect(requests.lastSeq).toBe(10);
});
