/**
 * Web pages in a real browser against the TCP port of the daemon (spec mesh.md §4, threat 12): a page of another origin in
 * every way a page can send a request, and a page whose name was rebound to our address after it was loaded. Both have the
 * token, as if it had leaked, so that nothing but the guards on Host and Origin stands between them and the mesh.
 */
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { expect } from 'vitest';
import { browser, OpenPage } from '../../support/browser.ts';
import { testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';
import { outboxOf } from './rows.ts';
import { TestDaemon } from './test-daemon.ts';

const testInBrowser = testNeeding(browser());
/** A browser starts slowly where others work too. */
const timeoutMs = 90_000;
const patient = { timeout: 2 * timeoutMs };
const host = 'evil.test';
const message = JSON.stringify({ to: '*', message: 'from a web page', client_message_id: 'forged' });

/** Begins each page: `report`, and what it reports to. */
const reporting = (results: Served): string => `
  const results = ${JSON.stringify(`http://127.0.0.1:${results.port}/`)}, body = ${JSON.stringify(message)};
  const report = (what, saw) => fetch(results, { method: 'POST', body: JSON.stringify({ what, saw: String(saw) }) });`;

/** Tries one way after the other. What it can read is reported; `blocked` when the browser gives it nothing. */
const foreignPage = `
  const read = async (path, options) => (await fetch(url + path, options)).text();
  const headers = { Authorization: 'Bearer ' + token };
  const element = (name, fields) => {
    const made = Object.assign(document.createElement(name), fields);
    document.body.append(made);
    return made;
  };
  const tries = {
    'fetch': () => read('/v1/health'),
    'fetch with the token': () => read('/v1/inbox', { headers }),
    'simple post': () => read('/v1/send', { method: 'POST', mode: 'no-cors', body }),
    'post with the token': () => read('/v1/send', { method: 'POST', headers, body }),
    'beacon': async () => navigator.sendBeacon(url + '/v1/send', body) && '',
    'script': () => new Promise((resolve, reject) => {
      element('script', { src: url + '/v1/peers', onload: () => resolve('loaded'), onerror: () => reject() });
    }),
    'form': () => new Promise((resolve) => {
      element('iframe', { name: 'target', onload: () => resolve('') });
      const form = element('form', { action: url + '/v1/send', method: 'POST', enctype: 'text/plain', target: 'target' });
      form.append(element('input', { name: body.slice(0, -1) + ',"x":"', value: '"}' }));
      form.submit();
    }),
    'events': () => new Promise((resolve, reject) => {
      const events = new EventSource(url + '/v1/events');
      Object.assign(events, { onopen: () => resolve('open'), onerror: () => { events.close(); reject(); } });
    }),
    'websocket': () => new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace('http', 'ws') + '/v1/version');
      Object.assign(socket, { onopen: () => resolve('open'), onerror: () => reject() });
    }),
  };
  (async () => {
    for (const [what, attempt] of Object.entries(tries)) {
      await report(what, await attempt().catch(() => 'blocked'));
    }
    await report('end', '');
  })();`;

/** For the browser the daemon becomes this page's own origin, so it lets the page send anything and read the answers. */
const reboundPage = `
  const read = async (path, options) => (await fetch(path, { cache: 'no-store', ...options })).text();
  (async () => {
    await report('loaded', '');
    let text = '';
    while (!text.startsWith('{')) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      text = await read('/v1/health').catch(() => '');
    }
    await report('health', text);
    const headers = { Authorization: 'Bearer ' + await (await fetch(results)).text() };
    await report('version', await read('/v1/version', { headers }));
    await report('inbox', await read('/v1/inbox', { headers }));
    await report('send', await read('/v1/send', { method: 'POST', headers, body }));
    await report('end', '');
  })();`;

interface Served {
  readonly server: Server;
  readonly port: number;
}

async function serve(listener: RequestListener): Promise<Served> {
  const server = createServer(listener);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

async function closed(...all: readonly Served[]): Promise<void> {
  for (const { server } of all) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** A page with this script, for whoever asks. */
function servePage(script: string): Promise<Served> {
  return serve((_, answer) => {
    answer.setHeader('Content-Type', 'text/html');
    answer.end(`<!doctype html><body><script>${script}</script>`);
  });
}

/** Takes what a page reports, and tells the token to those who ask. */
async function takeReports(token: () => string) {
  const reports: { readonly what: string; readonly saw: string }[] = [];
  const served = await serve(async (incoming, answer) => {
    let text = '';
    for await (const piece of incoming.setEncoding('utf8')) {
      text += piece as string;
    }
    if (incoming.method === 'POST') {
      reports.push(JSON.parse(text) as (typeof reports)[number]);
    }
    answer.setHeader('Access-Control-Allow-Origin', '*');
    answer.end(token());
  });
  return { ...served, reports };
}

interface RelayedAnswer {
  readonly request: string;
  readonly hasOrigin: boolean;
  readonly status: number;
}

/** Passes requests on to the daemon and writes down how it answered, which a page of another origin cannot read. */
async function serveRelay(daemon: TestDaemon) {
  const answers: RelayedAnswer[] = [];
  const passOn = (incoming: IncomingMessage, use: (response: IncomingMessage) => void) => {
    const { method = '', url: path = '', headers } = incoming;
    const onward = request({ host: '127.0.0.1', port: daemon.tcpPort, method, path, headers, agent: false });
    onward.on('response', (response) => {
      const { statusCode: status = 0 } = response;
      answers.push({ request: `${method} ${path}`, hasOrigin: headers.origin !== undefined, status });
      use(response);
    });
    onward.on('error', () => incoming.destroy());
    return onward;
  };
  const served = await serve((incoming, answer) => {
    const onward = passOn(incoming, (response) => {
      answer.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(answer);
    });
    incoming.pipe(onward);
  });
  served.server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {});
    passOn(incoming, ({ statusCode }) => socket.end(`HTTP/1.1 ${statusCode} X\r\nConnection: close\r\n\r\n`)).end();
  });
  return { ...served, answers };
}

testInBrowser(
  'threat 12: a page of another origin reads and sends nothing, whatever way it tries',
  patient,
  async () => {
    await using daemon = await TestDaemon.start({ words: ['--tcp', '--public-health'] });
    const relay = await serveRelay(daemon);
    const results = await takeReports(() => daemon.token);
    const told = `const url = 'http://127.0.0.1:${relay.port}', token = '${daemon.token}';`;
    const page = await servePage(reporting(results) + told + foreignPage);
    const { answers } = relay;
    const { reports } = results;
    try {
      await using shown = new OpenPage(`http://${host}:${page.port}/`, [host]);
      await waitUntil(() => reports.some(({ what }) => what === 'end'), 'the page to have tried all', {
        timeoutMs,
      }).catch((error) => {
        throw new Error(`${JSON.stringify({ reports, answers })}\n${shown.said}`, { cause: error });
      });
      // Empty: sent without a way to read the answer.
      expect(Object.fromEntries(reports.map(({ what, saw }) => [what, saw]))).toEqual({
        ...{ fetch: 'blocked', 'fetch with the token': 'blocked', 'simple post': '', 'post with the token': 'blocked' },
        ...{ beacon: '', script: 'blocked', form: '', events: 'blocked', websocket: 'blocked', end: '' },
      });
      const posts = () => answers.filter((answer) => answer.request === 'POST /v1/send');
      await waitUntil(() => posts().length >= 3, 'the post, the beacon and the form to be answered');
      expect(new Set(answers.map((answer) => answer.request))).toEqual(
        new Set([
          ...['GET /v1/health', 'OPTIONS /v1/inbox', 'POST /v1/send', 'OPTIONS /v1/send'],
          ...['GET /v1/peers', 'GET /v1/events', 'GET /v1/version'],
        ]),
      );
      // A script is asked for without an origin, but cannot name a token.
      for (const { request: asked, hasOrigin, status } of answers) {
        expect([asked, hasOrigin, status]).toEqual(
          asked === 'GET /v1/peers' ? [asked, false, 401] : [asked, true, 403],
        );
      }
      expect(await outboxOf(daemon)).toEqual([]);
    } finally {
      await closed(page, relay, results);
    }
  },
);

testInBrowser('threat 12: a page whose name is rebound to our address is refused by its name', patient, async () => {
  await using daemon = new TestDaemon();
  const results = await takeReports(() => (daemon.isRunning ? daemon.token : ''));
  const page = await servePage(reporting(results) + reboundPage);
  const { reports } = results;
  try {
    await using shown = new OpenPage(`http://${host}:${page.port}/`, [host]);
    const untilReported = (wanted: string) =>
      waitUntil(() => reports.some(({ what }) => what === wanted), `the page to report ${wanted}`, { timeoutMs }).catch(
        (error) => {
          throw new Error(`${JSON.stringify(reports)}\n${shown.said}\n${daemon.output}`, { cause: error });
        },
      );
    await untilReported('loaded');
    // The page's server goes away, and the daemon gets its port: the same name now leads to the daemon.
    await closed(page);
    await daemon.launch({ CLAUDEMESH_DAEMON_TCP_PORT: String(page.port) });
    await untilReported('end');
    const saw = '{"error":"forbidden host"}';
    expect(reports.slice(1, -1)).toEqual(['health', 'version', 'inbox', 'send'].map((what) => ({ what, saw })));
    // Whoever comes by our own name is answered, so it is the name that was refused.
    expect((await daemon.request('/v1/health', { way: 'tcp' })).status).toBe(200);
    expect(await outboxOf(daemon)).toEqual([]);
  } finally {
    await closed(results);
  }
});
