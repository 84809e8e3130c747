/**
 * A stand-in of the model's HTTP interface, on loopback: it answers a first message with a request to run a command and
 * a result of that with a sentence. What it was sent is kept for the test.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { serveHttp } from './servers.ts';

export interface ModelStandIn {
  readonly url: string;
  /** Bodies of `POST /v1/messages`, in order. */
  readonly requests: { readonly messages: readonly { readonly role: string; readonly content: unknown }[] }[];
  /** Everything else that was asked, `GET /path`. */
  readonly others: string[];
}

/** @param command what the model wants to have run; @param answer what it says at the end */
export async function startModel(command: string, answer: string): Promise<ModelStandIn> {
  const requests: ModelStandIn['requests'] = [];
  const others: string[] = [];
  const url = await serveHttp(async (incoming, outgoing) => {
    if (incoming.method === 'POST' && incoming.url?.startsWith('/v1/messages?')) {
      const request = JSON.parse(await bodyOf(incoming));
      requests.push(request);
      const wantsTool = !JSON.stringify(request.messages).includes('"tool_result"');
      stream(outgoing, wantsTool ? toolUse(command) : text(answer), wantsTool ? 'tool_use' : 'end_turn');
      return;
    }
    others.push(`${incoming.method} ${incoming.url}`);
    outgoing.end();
  });
  return { url, requests, others };
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

interface Block {
  readonly start: object;
  readonly delta: object;
}

function toolUse(command: string): Block {
  return {
    start: { type: 'tool_use', id: 'toolu_1', name: 'Bash', input: {} },
    delta: { type: 'input_json_delta', partial_json: JSON.stringify({ command }) },
  };
}

function text(words: string): Block {
  return { start: { type: 'text', text: '' }, delta: { type: 'text_delta', text: words } };
}

function stream(outgoing: ServerResponse, { start, delta }: Block, stopReason: string): void {
  const usage = { input_tokens: 1, output_tokens: 1 };
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'stand-in',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage,
  };
  outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' });
  for (const event of [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: start },
    { type: 'content_block_delta', index: 0, delta },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]) {
    outgoing.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
  outgoing.end();
}
