/** What nobody may find (spec mesh.md §13): the local token, the secret key, the text of a message. */
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scriptForTests } from '../../support/holdfast.ts';
import { linux, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';
import { configOf, newMember } from './members.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { TestDaemon } from './test-daemon.ts';

const text = 'canary-text-7f3a9c';
const rootKey = 'canary-root-key-51d2';

/** Words and environment of every process that can be seen. */
function processListing(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => ['cmdline', 'environ'].map((file) => join('/proc', pid, file)))
    .map((file) => {
      try {
        return readFileSync(file, 'latin1');
      } catch {
        return '';
      }
    })
    .join('\n');
}

testNeeding(linux)(
  'acceptance 20: neither logs, nor answers, nor errors, nor process listings show a token, a key or a text',
  {},
  async () => {
    const [alice, bob] = [newMember('alice'), newMember('bob')];
    await using broker = await StandInBroker.start({ members: [alice, bob] });
    const config = configOf(alice, broker.url) as { meshes: object[] };
    await using daemon = await TestDaemon.start({
      config: { ...config, meshes: config.meshes.map((mesh) => ({ ...mesh, rootKey })) },
      timings: { ackMs: 200, retryBaseMs: 50 },
    });
    await using other = await TestDaemon.start({ member: bob, brokerUrl: broker.url });
    using events = await daemon.events();
    const told: string[] = [];
    const ask = async (...request: Parameters<TestDaemon['request']>): Promise<void> => {
      told.push((await daemon.request(...request)).text);
    };
    const { token } = daemon;

    // Everything that can go wrong with a message, and with who asks.
    broker.dropAcks = 1;
    broker.errors.push('rate_limit: slow down', 'invalid request');
    for (const [index, to] of ['bob', '*', bob.pubkey].entries()) {
      await ask('/v1/send', { body: { to, message: text, client_message_id: `k${index}` } });
      await ask('/v1/send', { body: { to, message: `${text}!`, client_message_id: `k${index}` } });
    }
    await ask('/v1/send', { body: `{"to":"bob","message":"${text}"` });
    await ask('/v1/send', { body: { to: 'bob', message: text, priority: text } });
    await ask('/v1/send', { body: { to: 'bob', message: text.repeat(20_000) } });
    await ask(`/v1/health?token=${token}`);
    await ask('/v1/health', { way: 'tcp', headers: { Authorization: `Bearer ${token}!` } });
    await ask('/v1/health', { way: 'tcp', headers: { Host: token } });
    await ask(`/${text}`);
    await ask('/v1/profile', { body: { summary: 1, title: [text] } });
    await waitUntil(async () => {
      const items = await daemon.items('/v1/outbox');
      return items.every(({ status }) => status === 'done' || status === 'dead');
    }, 'every message to have its end');
    // Broken off with words that are redacted like everything else, and back.
    broker.close(1011, `gone ${token}`, 'alice');
    await waitUntil(() => daemon.logged('broker_reconnect_scheduled').length > 0, 'the break');
    await waitUntil(() => broker.connected.length === 2, 'both daemons to be back');

    const listing = processListing();
    const verbs = await Promise.all(
      [['status'], ['version'], ['outbox'], ['outbox', '--json'], ['accept-host']].map((words) => daemon.run(words)),
    );
    told.push(...verbs.map(({ stdout, stderr }) => stdout + stderr));
    await ask('/v1/outbox');
    await ask('/v1/health');
    await ask('/v1/peers');
    await daemon.stopped();
    expect(listing).toContain(`${scriptForTests}\0mesh\0up`);

    const places: Readonly<Record<string, string>> = {
      log: daemon.output,
      'log of the receiver': other.output,
      events: events.text,
      'what was told': told.join('\n'),
      'process listing': listing,
    };
    const secrets = {
      token,
      secretKey: alice.secretKey,
      seed: alice.secretKey.slice(0, 64),
      rootKey,
      bob: bob.secretKey,
    };
    for (const [place, content] of Object.entries(places)) {
      for (const [name, secret] of Object.entries(secrets)) {
        expect(content.includes(secret), `${name} in ${place}`).toBe(false);
      }
    }
    for (const place of ['log', 'log of the receiver', 'events', 'process listing']) {
      expect(places[place]?.includes(text), `the text in ${place}`).toBe(false);
    }
    // Nothing that one needs was taken out of the log with it.
    expect(daemon.logged('broker_reconnect_scheduled')[0]).toMatchObject({ level: 'warn', code: 1011 });
    expect((await other.items('/v1/inbox')).map(({ body }) => body)).toContain(text);
    // What is kept is in files that others cannot read.
    for (const name of globSync('*', { cwd: daemon.daemonFolder })) {
      expect(statSync(join(daemon.daemonFolder, name)).mode & 0o077, name).toBe(0);
    }
    expect(existsSync(join(daemon.daemonFolder, 'daemon.log'))).toBe(false);
  },
);

test('an error of a start shows no key either', async () => {
  const member = newMember('alice');
  await using daemon = new TestDaemon({ config: `${JSON.stringify(configOf(member, 'ws://127.0.0.1:9'))},` });
  const { stdout, stderr } = await daemon.run(['up']);
  expect(stderr).toMatch(/^Failed to load .*: not valid JSON\n$/);
  expect((stdout + stderr).includes(member.secretKey)).toBe(false);
});
