/** Proxies and certificate authorities, as hosts in companies have them (spec install.md §4). */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { proxyFor } from '../../src/install/proxy.ts';
import { runProgram } from '../modes/run-program.ts';
import { cleanEnvironment, program } from '../support/holdfast.ts';
import { testNeeding, tracing } from '../support/needs.ts';
import { createAuthority, listen, serveHttp, serveHttps, serveTcp, startProxy } from './servers.ts';
import { goodCli, pack, readRun, sha256, Workshop } from './support.ts';

const blob = pack(goodCli);

function wanted(url: string): string[] {
  return ['-cli-version', '1.2.3', '-cli-url', url, '-cli-checksum', sha256(blob)];
}

const serveBlob = (authority: Parameters<typeof serveHttps>[0]) =>
  serveHttps(authority, (_, answer) => answer.end(blob));

describe('a server with a certificate of a private authority', () => {
  test('is trusted when the authority is in the system store or in NODE_EXTRA_CA_CERTS, and not without', async () => {
    const authority = createAuthority('127.0.0.1');
    const url = `https://127.0.0.1:${await serveBlob(authority)}/blob`;
    const shop = new Workshop();
    const refused = await shop.install(wanted(url));
    expect(refused.facts.cliError).toBe(
      `download failed: Get "${url}": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    for (const variable of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']) {
      const folder = new Workshop();
      const { facts, stderr } = await folder.install(wanted(url), { env: { [variable]: authority.file } });
      expect({ stderr, error: facts.cliError }).toEqual({ stderr: '', error: undefined });
    }
  });

  test('is refused, too, when the environment tells Node.js programs not to verify anybody', async () => {
    const url = `https://127.0.0.1:${await serveBlob(createAuthority('127.0.0.1'))}/blob`;
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
    const { facts, stderr } = await new Workshop().install(wanted(url), { env });
    expect(facts.cliError).toContain('x509: certificate signed by unknown authority');
    expect(stderr).toBe('');
  });

  test('is refused when NODE_EXTRA_CA_CERTS leads nowhere or to something else, which a warning names', async () => {
    const url = `https://127.0.0.1:${await serveBlob(createAuthority('127.0.0.1'))}/blob`;
    const shop = new Workshop();
    for (const [path, reason] of [
      [join(shop.home, 'missing'), 'open <path>: no such file or directory'],
      [shop.blob(), 'there is no certificate in <path>'],
    ] as const) {
      const { facts, stderr } = await shop.install(wanted(url), { env: { NODE_EXTRA_CA_CERTS: path } });
      expect(facts.cliError).toContain('x509: certificate signed by unknown authority');
      const text = `NODE_EXTRA_CA_CERTS is ignored: ${reason.replace('<path>', path)}`;
      expect(stderr).toMatch(/^\S+ \S+ WARN {2}\[Install\] [^\n]*\n$/);
      expect(stderr).toContain(text);
    }
  });

  test('is refused when the certificate is for another name', async () => {
    const authority = createAuthority('other.test');
    const url = `https://127.0.0.1:${await serveBlob(authority)}/blob`;
    const { facts } = await new Workshop().install(wanted(url), { env: { SSL_CERT_FILE: authority.file } });
    expect(facts.cliError).toMatch(/^download failed: Get "https:.*": tls: Hostname\/IP does not match/);
  });

  test('is reached by a redirect from one without', async () => {
    const authority = createAuthority('127.0.0.1');
    const secure = `https://127.0.0.1:${await serveBlob(authority)}/blob`;
    const url = await serveHttp((_, answer) => answer.writeHead(302, { Location: secure }).end());
    const { facts } = await new Workshop().install(wanted(url), { env: { SSL_CERT_FILE: authority.file } });
    expect(facts).not.toHaveProperty('cliError');
  });

  test('that never finishes the handshake is given up, and one that hangs up in it is named', async () => {
    const silent = await listen(createServer());
    const url = `https://127.0.0.1:${silent}/`;
    const asked = { cliUrl: url, cliChecksum: 'x' };
    const { outcome } = await new Workshop().installHere(asked, { timings: { tlsHandshakeMs: 300 } });
    expect(outcome.cliError).toBe(`download failed: Get "${url}": net/http: TLS handshake timeout`);
    const rude = (await serveTcp((socket) => socket.once('data', () => socket.end()))).replace('http:', 'https:');
    const ended = await new Workshop().installHere({ ...asked, cliUrl: rude });
    expect(ended.outcome.cliError).toBe(`download failed: Get "${rude}": EOF`);
  });
});

describe('a proxy', () => {
  test('leads to a server of https by a tunnel, and shows it neither address nor blob', async () => {
    const authority = createAuthority('files.test');
    const port = await serveBlob(authority);
    const proxy = await startProxy();
    const env = { HTTPS_PROXY: `http://me:p%40ss@127.0.0.1:${proxy.port}`, SSL_CERT_FILE: authority.file };
    const { facts } = await new Workshop().install(wanted(`https://files.test:${port}/secret/path`), { env });
    expect(facts).not.toHaveProperty('cliError');
    expect(proxy.asked).toEqual([`CONNECT files.test:${port} Basic ${Buffer.from('me:p@ss').toString('base64')}`]);
  });

  test('may itself speak TLS with a certificate of a private authority', async () => {
    const authority = createAuthority('files.test', '127.0.0.1');
    const port = await serveBlob(authority);
    const proxy = await startProxy({ secure: authority });
    const env = { https_proxy: `https://127.0.0.1:${proxy.port}`, NODE_EXTRA_CA_CERTS: authority.file };
    const { facts } = await new Workshop().install(wanted(`https://files.test:${port}/blob`), { env });
    expect(facts).not.toHaveProperty('cliError');
    expect(proxy.asked).toEqual([`CONNECT files.test:${port}`]);
  });

  test('passes on what is asked of a server without TLS, redirects included', async () => {
    const url = await serveHttp((incoming, answer) => {
      if (incoming.url === '/blob') {
        answer.end(blob);
      } else {
        answer.writeHead(301, { Location: '/blob' }).end();
      }
    });
    const { port } = new URL(url);
    const proxy = await startProxy();
    const env = { http_proxy: `me@127.0.0.1:${proxy.port}` };
    const { facts } = await new Workshop().install(wanted(`http://files.test:${port}/`), { env });
    expect(facts).not.toHaveProperty('cliError');
    const credentials = `Basic ${Buffer.from('me:').toString('base64')}`;
    expect(proxy.asked).toEqual([
      `GET http://files.test:${port}/ ${credentials}`,
      `GET http://files.test:${port}/blob ${credentials}`,
    ]);
  });

  test('is not asked for what is on this host or in NO_PROXY', async () => {
    const url = await serveHttp((_, answer) => answer.end(blob));
    const proxy = await startProxy();
    const all = { HTTP_PROXY: `127.0.0.1:${proxy.port}`, http_proxy: `127.0.0.1:${proxy.port}` };
    for (const [address, env] of [
      [url, all],
      [url.replace('127.0.0.1', 'localhost'), all],
      [url.replace('127.0.0.1', '127.0.0.2'), { ...all, NO_PROXY: 'x' }],
      [url.replace('127.0.0.1', 'ip6-localhost.invalid'), { ...all, no_proxy: '.invalid' }],
    ] as const) {
      await new Workshop().install(wanted(address), { env });
    }
    expect(proxy.asked).toEqual([]);
  });

  test('that refuses, is not there, or speaks another language is named as the proxy', async () => {
    const proxy = await startProxy({ refuseWith: '407 Proxy Authentication Required' });
    const text = async (HTTPS_PROXY: string) =>
      (await new Workshop().install(wanted('https://files.test/x'), { env: { HTTPS_PROXY } })).facts.cliError;
    const start = 'download failed: Get "https://files.test/x": ';
    expect(await text(`127.0.0.1:${proxy.port}`)).toBe(
      `${start}proxyconnect tcp: the proxy answered CONNECT with status 407 Proxy Authentication Required`,
    );
    expect(await text('127.0.0.1:1')).toBe(
      `${start}proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused`,
    );
    expect(await text('socks5://me:secret@127.0.0.1:1')).toBe(
      `${start}unsupported proxy scheme "socks5": want http or https`,
    );
    expect(await text('http://me:secret@[')).toBe(`${start}invalid proxy address`);
  });

  test('that never answers is given up', async () => {
    const silent = await listen(createServer());
    const { outcome } = await new Workshop().installHere(
      { cliUrl: 'https://files.test/x', cliChecksum: 'x' },
      { env: { HTTPS_PROXY: `127.0.0.1:${silent}` }, timings: { responseHeadersMs: 200 } },
    );
    expect(outcome.cliError).toBe(
      'download failed: Get "https://files.test/x": proxyconnect tcp: timeout awaiting the answer to CONNECT',
    );
  });
});

describe('which proxy', () => {
  const chosen = (url: string, environment: Record<string, string>) => proxyFor(new URL(url), environment)?.host;

  test('each scheme has its own, upper case first; an empty one is none', () => {
    const both = { HTTP_PROXY: 'plain:1', HTTPS_PROXY: 'secure:2', http_proxy: 'lower:3' };
    expect(chosen('http://a.test', both)).toBe('plain:1');
    expect(chosen('https://a.test', both)).toBe('secure:2');
    expect(chosen('http://a.test', { HTTP_PROXY: '', http_proxy: 'lower:3' })).toBe('lower:3');
    expect(chosen('https://a.test', { HTTP_PROXY: 'plain:1' })).toBeUndefined();
  });

  test.each([
    ['*', 'http://a.test', false],
    ['a.test', 'http://a.test', false],
    ['A.Test', 'http://b.a.test', false],
    ['a.test', 'http://ba.test', true],
    ['.a.test', 'http://a.test', true],
    ['.a.test', 'http://b.a.test', false],
    ['*.a.test', 'http://b.a.test', false],
    ['x, a.test:8080', 'http://a.test:8080', false],
    ['a.test:8080', 'http://a.test', true],
    ['a.test:80', 'http://a.test', false],
    ['10.0.0.0/8', 'http://10.1.2.3', false],
    ['10.0.0.0/8', 'http://11.1.2.3', true],
    ['10.0.0.0/33', 'http://10.1.2.3', true],
    ['10.1.2.3', 'http://10.1.2.3:99', false],
    ['10.1.2.3:99', 'http://10.1.2.3:99', false],
    ['10.1.2.3:98', 'http://10.1.2.3:99', true],
    ['fd00::/8', 'http://[fd00::1]', false],
    ['[fd00::1]:80', 'http://[fd00::1]', false],
    ['fd00::1', 'http://[fd00::2]', true],
    ['', 'http://a.test', true],
    ['', 'http://127.1.1.1', false],
    ['', 'http://[::1]', false],
    ['', 'http://localhost', false],
  ])('NO_PROXY=%s and %s: through the proxy is %s', (exceptions, url, isUsed) => {
    expect(chosen(url, { HTTP_PROXY: 'p:1', NO_PROXY: exceptions }) === 'p:1').toBe(isUsed);
  });
});

testNeeding(tracing())('an install from a local file, and a CLI that is there, ask nobody anything', {}, async () => {
  const shop = new Workshop();
  const log = join(shop.home, 'trace');
  const asked = async (words: readonly string[]) => {
    const install = [program, '-install', '-cli-dir', shop.folder, '-cli-version', '1.2.3', ...words];
    const trace = ['-f', '--seccomp-bpf', '-qq', '-e', 'trace=%network', '-o', log, ...install];
    const { facts } = readRun(await runProgram('strace', trace, { env: cleanEnvironment(shop.home) }));
    // Socket pairs inside the process do not count, because they lead nowhere else.
    const calls = readFileSync(log, 'utf8').match(/^.*\b(connect|sendto|sendmsg|socket\(AF_INET).*$/gm);
    return { error: facts.cliError, calls };
  };
  expect((await asked(['-cli-url', 'http://127.0.0.1:1/'])).calls).not.toBeNull();
  expect(await asked(['-cli-zst', shop.blob()])).toEqual({ error: undefined, calls: null });
  expect(await asked([])).toEqual({ error: undefined, calls: null });
});
