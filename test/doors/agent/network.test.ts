/** The way to the server: certificates of a private authority, and proxies, as `-install` has them. */
import { describe, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import { AgentServer } from '../../../src/doors/agent/server.ts';
import { createAuthority, serveHttp, serveHttps, serveTcp, startProxy } from '../../install/servers.ts';

const { paths } = await loadPlatform();

function server(serverUrl: string, environment: NodeJS.ProcessEnv = {}, limits = {}): AgentServer {
  const warn = (text: string): never => {
    throw new Error(text);
  };
  return new AgentServer({
    ...{ serverUrl, environment, paths, warn, limits },
    token: 'agt_0123456789',
    instanceId: 'instance',
    version: '0.0.0',
  });
}

describe('the way to the server', () => {
  test('a certificate of the authority that NODE_EXTRA_CA_CERTS names is believed, any other is not', async () => {
    const authority = createAuthority('localhost');
    const port = await serveHttps(authority, (_, answer) => answer.end('{"a":1}'));
    const url = `https://localhost:${port}`;
    expect(await server(url, { NODE_EXTRA_CA_CERTS: authority.file }).get('/x')).toMatchObject({
      status: 200,
      body: { a: 1 },
    });
    expect(await server(url).get('/x')).toEqual({
      status: undefined,
      reason: 'tls: failed to verify certificate: x509: certificate signed by unknown authority',
    });
  });

  test('https goes through the tunnel of the proxy that the environment names, http through the proxy itself', async () => {
    const authority = createAuthority('server.test');
    const port = await serveHttps(authority, (_, answer) => answer.end('{}'));
    const secure = await startProxy();
    // Loopback addresses never go through a proxy, so the server has a name that only the proxy knows.
    const answer = await server(`https://server.test:${port}`, {
      NODE_EXTRA_CA_CERTS: authority.file,
      HTTPS_PROXY: `http://127.0.0.1:${secure.port}`,
    }).get('/x');
    expect(secure.asked).toEqual([`CONNECT server.test:${port}`]);
    expect(answer).toMatchObject({ status: 200 });
    const plain = await startProxy();
    await server('http://server.test:1', { HTTP_PROXY: `http://user:secret@127.0.0.1:${plain.port}` }).get('/x');
    expect(plain.asked[0]).toMatch(/^GET http:\/\/server\.test:1\/api\/agent\/v1\/x/);
  });

  test('connections are kept, and one that the server has closed meanwhile costs nothing', async () => {
    const sockets = new Set<unknown>();
    const url = await serveHttp((request, answer) => {
      sockets.add(request.socket);
      answer.end('{}');
    });
    const agent = server(url);
    for (let time = 0; time < 3; time++) {
      expect(await agent.get('/x')).toMatchObject({ status: 200 });
    }
    expect(sockets.size).toBe(1);
    for (const socket of sockets as Set<{ destroy(): void }>) {
      socket.destroy();
    }
    expect(await agent.get('/x')).toMatchObject({ status: 200 });
    agent.close();
  });

  test('fault 22: an answer of a gigabyte, one without an end and none at all are each given up', async () => {
    const endless = await serveHttp((_, answer) => {
      const more = (): void => {
        while (answer.write(Buffer.alloc(65_536))) {
          // As much as is taken.
        }
      };
      answer.on('drain', more).on('error', () => {});
      more();
    });
    expect(await server(endless).get('/x')).toEqual({
      status: undefined,
      reason: 'the answer is larger than 1048576 bytes',
    });
    const silent = await serveTcp(() => {});
    expect(await server(silent, {}, { requestMs: 300 }).get('/x')).toEqual({
      status: undefined,
      reason: 'no answer within 0.3 s',
    });
    const torn = await serveTcp((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'));
    expect(await server(torn).get('/x')).toMatchObject({ status: undefined });
  });
});
