/** The way to a broker: certificates of a private authority, and proxies, as `-install` has them. */
import { connect } from 'node:net';
import { createServer } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { createAuthority, listen, startProxy } from '../../../install/servers.ts';
import { newMember } from '../members.ts';
import { StandInBroker } from '../stand-in-broker.ts';
import { message, TestConnection } from './test-connection.ts';

const alice = newMember('alice');
/** A broker, and a port that speaks TLS and passes everything on to it; both are gone when the test ends. */
async function secureBroker() {
  const broker = await StandInBroker.start({ members: [alice] });
  onTestFinished(() => broker.stop());
  const { key, cert, file } = createAuthority('localhost', 'broker.test');
  const server = createServer({ key, cert }, (socket) => {
    const onward = connect(broker.port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward]) {
      end.on('error', () => {}).on('close', () => [socket, onward].map((each) => each.destroy()));
    }
  });
  server.on('tlsClientError', () => {});
  return { port: await listen(server), file };
}

test('a certificate of the authority that NODE_EXTRA_CA_CERTS names is believed, any other is not', async () => {
  const { port, file } = await secureBroker();
  const url = `wss://localhost:${port}/ws`;
  await using trusting = await TestConnection.start(alice, url, {}, { NODE_EXTRA_CA_CERTS: file });
  await trusting.until('open');
  expect(await trusting.broker.send(message('*', 'over TLS'))).toMatchObject({ ok: true });
  await using careful = await TestConnection.start(alice, url);
  expect(await careful.line('broker_ws_error')).toEqual({
    err: 'tls: failed to verify certificate: x509: certificate signed by unknown authority',
  });
  expect(careful.broker.state).toBe('reconnecting');
});

test('wss goes through the tunnel of the proxy that the environment names, and its password is in no log', async () => {
  const { port, file } = await secureBroker();
  const proxy = await startProxy();
  // Loopback addresses never go through a proxy, so the broker has a name that only the proxy knows.
  const url = `wss://broker.test:${port}/ws`;
  await using client = await TestConnection.start(
    alice,
    url,
    {},
    {
      NODE_EXTRA_CA_CERTS: file,
      HTTPS_PROXY: `http://user:secret-of-the-proxy@127.0.0.1:${proxy.port}`,
    },
  );
  await client.until('open');
  expect(proxy.asked).toEqual([
    `CONNECT broker.test:${port} Basic ${Buffer.from('user:secret-of-the-proxy').toString('base64')}`,
  ]);
  const refusing = await startProxy({ refuseWith: '403 Forbidden' });
  await using refused = await TestConnection.start(
    alice,
    url,
    {},
    {
      HTTPS_PROXY: `http://user:secret-of-the-proxy@127.0.0.1:${refusing.port}`,
    },
  );
  expect(await refused.line('broker_ws_error')).toEqual({
    err: 'proxyconnect tcp: the proxy answered CONNECT with status 403 Forbidden',
  });
  expect(JSON.stringify(refused.log)).not.toContain('secret-of-the-proxy');
});

test('a port where nobody listens is named', async () => {
  const gone = await StandInBroker.start({ members: [] });
  await gone.stop();
  await using nobody = await TestConnection.start(alice, gone.url);
  expect((await nobody.line('broker_ws_error')).err).toBe(
    `dial tcp 127.0.0.1:${gone.port}: connect: connection refused`,
  );
});
