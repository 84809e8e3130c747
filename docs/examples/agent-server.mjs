// A server for `holdfast agent` in one file, to start from: five routes, two tables, the signature first (docs/agent.md).
// It keeps everything in memory and takes orders from its standard input:
//
//     start <session> [text]     say <session> <text>     end <session>
//
// node agent-server.mjs [port] [token]
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const port = Number(process.argv[2] ?? 3000);
const token = process.argv[3] ?? 'change-this-token';
const root = '/api/agent/v1';

/** Orders until they are settled: { id, sessionId, type, payload }. */
const orders = new Map();
/** Which instance of the agent has said of an order that it waits there. */
const queuedAt = new Map();
/** By session: stored chunks by number, and up to where nothing is missing. */
const sessions = new Map();
/** An id is used once, ever: the agent carries out none that it has seen before, also after a restart of this server. */
const run = Date.now();
let serial = 1;

function order(type, sessionId, payload) {
  const id = `ins_${run}_${serial++}`;
  orders.set(id, { id, type, sessionId, createdAt: new Date().toISOString(), payload });
}

function sessionOf(id) {
  if (!sessions.has(id)) {
    sessions.set(id, { chunks: new Map(), complete: 0, lost: new Map() });
  }
  return sessions.get(id);
}

/** Everything up to `complete` is stored or was said to be lost. */
function count(session) {
  while (session.chunks.has(session.complete + 1) || session.lost.has(session.complete + 1)) {
    session.complete = session.lost.get(session.complete + 1) ?? session.complete + 1;
  }
}

/** Why a request is not from our agent; undefined when it is. */
function refusal(request, body) {
  const { authorization, 'x-signature-timestamp': timestamp, 'x-signature': signature = '' } = request.headers;
  if (authorization !== `Bearer ${token}`) {
    return 'bad_token';
  }
  if (Math.abs(Date.now() - Number(timestamp)) > 300_000) {
    return 'stale_signature';
  }
  const hash = createHash('sha256').update(body).digest('hex');
  const text = ['v1', request.method, request.url, timestamp, hash].join('\n');
  const expected = Buffer.from(`sha256=${createHmac('sha256', token).update(text).digest('hex')}`);
  const given = Buffer.from(String(signature));
  return given.length === expected.length && timingSafeEqual(given, expected) ? undefined : 'bad_signature';
}

/** [status, answer] of a request that is our agent's. */
function answer(route, value, instance) {
  if (route === '/instructions') {
    const waiting = [...orders.values()].filter(({ id }) => queuedAt.get(id) !== instance).slice(0, 20);
    return waiting.length === 0 ? [204] : [200, { instructions: waiting }];
  }
  if (route.endsWith('/ack')) {
    console.log(`# ${value.id} ${value.result} ${value.error?.message ?? ''}`);
    if (value.result === 'queued') {
      // It is settled later, or handed out again to the next instance, should this one die before.
      queuedAt.set(value.id, instance);
    } else {
      orders.delete(value.id);
    }
    return [200, {}];
  }
  const [, sessionId] = /^\/sessions\/([^/]+)\/output$/.exec(route) ?? [];
  if (sessionId !== undefined) {
    const session = sessionOf(decodeURIComponent(sessionId));
    if (value.firstSeq > session.complete + 1) {
      return [409, { error: 'gap', expected: session.complete + 1 }];
    }
    for (const chunk of value.chunks) {
      if (!session.chunks.has(chunk.seq)) {
        session.chunks.set(chunk.seq, chunk);
        show(value.sessionId, chunk);
      }
    }
    count(session);
    return [200, { accepted: session.complete }];
  }
  if (route === '/errors') {
    console.log(`# ${value.code}: ${value.message}`);
    if (value.code === 'output_gap') {
      const session = sessionOf(value.sessionId);
      session.lost.set(value.from, value.to);
      count(session);
    }
    return [200, {}];
  }
  return route === '/status' ? [200, {}] : [404, { error: 'no_such_route' }];
}

function show(sessionId, { stream, data, exitCode, signal }) {
  if (stream === 'exit') {
    console.log(`# ${sessionId} has ended: ${signal ?? exitCode}`);
  } else {
    process[stream].write(Buffer.from(data, 'base64'));
  }
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const body = Buffer.concat(parts);
  const why = refusal(request, body);
  const route = request.url.slice(root.length).replace(/\?.*/, '');
  const [status, value] =
    why === undefined
      ? answer(route, body.length === 0 ? {} : JSON.parse(body), request.headers['x-agent-instance'])
      : [401, { error: why }];
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(value === undefined ? undefined : JSON.stringify(value));
}).listen(port, '127.0.0.1', () => {
  console.log(`# listening at http://127.0.0.1:${port}`);
});

createInterface({ input: process.stdin }).on('line', (line) => {
  const [, verb, session, text] = /^(start|say|end) (\S+) ?(.*)$/.exec(line) ?? [];
  switch (verb) {
    case 'start':
      return order('start_session', session, text === '' ? {} : { prompt: text });
    case 'say':
      return order('command', session, { command: text });
    case 'end':
      return order('terminate_session', session, {});
    default:
      console.log('# start <session> [text] | say <session> <text> | end <session>');
  }
});
