/**
 * What the mesh door costs: sends that are accepted, each on disk before its answer, against a bare server of node:http that
 * does one insert into SQLite under the same rules; and how long after a send the receiver's event is there.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { newMember } from '../test/doors/mesh/members.ts';
import { StandInBroker } from '../test/doors/mesh/stand-in-broker.ts';
import { TestDaemon } from '../test/doors/mesh/test-daemon.ts';
import { waitUntil } from '../test/support/wait.ts';
import { type Figures, interleave, roundsOr, startServer } from './support/processes.ts';
import { absolute, against, report } from './support/report.ts';

const sends = 2000;
/** Programs that send at once. */
const connections = 4;
const body = { to: 'alice', message: 'x'.repeat(200), meta: { a: 1 } };

/** Posts `sends` messages. @returns how many are accepted in a second */
async function sendAll(socketPath: string): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let count = 0;
  const program = async (): Promise<void> => {
    while (count < sends) {
      await post(socketPath, agent, { ...body, client_message_id: `k${count++}` });
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: connections }, program));
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  return { perSecond: sends / seconds };
}

function post(socketPath: string, agent: Agent, message: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, agent, method: 'POST', path: '/v1/send' }, (response) => {
      response.resume().on('end', () => {
        if (response.statusCode === 202) {
          resolve();
        } else {
          reject(new Error(`answered with ${response.statusCode}`));
        }
      });
    });
    sent.on('error', reject).end(JSON.stringify(message));
  });
}

async function throughMesh(): Promise<Figures> {
  await using daemon = await TestDaemon.start({ words: ['--no-tcp'] });
  return await sendAll(daemon.socket);
}

async function throughBareServer(): Promise<Figures> {
  const folder = mkdtempSync('/tmp/hfb-');
  const script = join(import.meta.dirname, 'support', 'bare-send-server.ts');
  await using server = await startServer(process.execPath, ({ socket }) => [script, socket, join(folder, 'rows.db')]);
  try {
    return await sendAll(server?.socket ?? '');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Milliseconds from a send to its event at the receiver, one message after the other. */
async function eventDelays(): Promise<readonly number[]> {
  const [from, to] = [newMember('from'), newMember('to')];
  await using broker = await StandInBroker.start({ members: [from, to] });
  const options = { brokerUrl: broker.url, words: ['--no-tcp'] };
  await using sender = await TestDaemon.start({ ...options, member: from });
  await using receiver = await TestDaemon.start({ ...options, member: to });
  await waitUntil(() => broker.connected.length === 2, 'both daemons to be connected');
  using events = await receiver.events();
  const delays: number[] = [];
  for (let at = 0; at < 200; at++) {
    const start = performance.now();
    await sender.send({ ...body, to: to.pubkey });
    while (events.of('message').length <= at) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    delays.push(performance.now() - start);
  }
  return delays.toSorted((a, b) => a - b);
}

const { mesh = [], bare } = await interleave(roundsOr(5), { mesh: throughMesh, bare: throughBareServer });
const delays = await eventDelays();

report([
  ...against(
    'bare node:http, one insert',
    bare?.map(({ perSecond = 0 }) => perSecond),
    {
      area: 'mesh',
      what: `mesh door, accepted sends of 200 bytes, ${connections} programs, each on disk before its answer`,
      unit: '/s',
      target: { atLeast: 0.6 },
      ours: mesh.map(({ perSecond = 0 }) => perSecond),
    },
  ),
  absolute({
    area: 'mesh',
    what: 'mesh door, from a send to the event of the receiver, through two daemons and a broker, p50',
    unit: 'ms',
    target: { atMost: 100 },
    ours: [delays[Math.floor(delays.length / 2)] ?? 0],
  }),
]);
