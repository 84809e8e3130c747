/** `-install` with an address: what arrives, what goes wrong on the way, and what a driver reads of it (spec install.md §4). */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { coversNext } from '../support/profiles.ts';
import { serveHttp, serveTcp } from './servers.ts';
import { badCli, goodCli, type HereRun, pack, profiles, sha256, Workshop } from './support.ts';

const blob = pack(goodCli);
const sum = sha256(blob);
const total = blob.length;

function wanted(url: string, checksum = sum): string[] {
  return ['-cli-version', '1.2.3', '-cli-url', url, '-cli-checksum', checksum];
}

/** Answers every request with the blob. */
function serveBlob(bytes: Buffer = blob): Promise<string> {
  return serveHttp((_, answer) => {
    answer.setHeader('Content-Length', bytes.length);
    answer.end(bytes);
  });
}

/** The blob of a CLI that packs badly, so that it comes in many pieces. */
function bigCli(bytes: number): string {
  let filling = '';
  for (let i = 0; filling.length < bytes; i++) {
    filling += `# ${sha256(String(i))}\n`;
  }
  return goodCli + filling;
}

const start = { phase: 'download', bytes: 0, total };

describe.each(profiles)('profile %s: a download', (profile) => {
  const tellsProgress = profile !== 'S';

  test('is checked, unpacked, run, and leaves nothing but the CLI', async () => {
    const shop = new Workshop();
    const { facts, progress, stderr } = await shop.install(wanted(await serveBlob()), {
      profile,
      env: { TMPDIR: shop.home },
    });
    expect(stderr).toBe('');
    expect(facts).toMatchObject({ cliPath: shop.path('1.2.3'), cliWasPresent: false });
    expect(facts).not.toHaveProperty('cliError');
    expect(shop.names()).toEqual(['1.2.3']);
    expect(readdirSync(shop.home).filter((name) => name.startsWith('claustrum-fetch-'))).toEqual([]);
    expect(progress).toEqual(tellsProgress ? [start, { ...start, bytes: total }] : []);
    expect(Object.keys(facts).includes('fetch')).toBe(tellsProgress);
    if (tellsProgress) {
      expect(facts.fetch).toEqual({ bytes: total, ms: expect.any(Number), longestPauseMs: expect.any(Number) });
    }
  });

  test('with a wrong checksum, or without any, is refused; the next one with the right checksum succeeds', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', '#!/bin/sh\nexit 1\n');
    const url = await serveBlob();
    for (const wrong of ['00ff', '', sum.toUpperCase()]) {
      const { facts, progress } = await shop.install(wanted(url, wrong), { profile });
      expect(facts.cliError).toBe(`checksum mismatch: expected=${wrong}, actual=${sum}`);
      expect(progress).toEqual(tellsProgress ? [start] : []);
      expect(shop.names()).toEqual(['1.2.3']);
    }
    const { facts } = await shop.install(wanted(url), { profile });
    expect(facts).not.toHaveProperty('cliError');
  });

  test('that is refused by the server names the status and nothing else', async () => {
    const shop = new Workshop();
    const url = await serveHttp((_, answer) => answer.writeHead(404, 'Not Here').end('a page'));
    const { facts, progress } = await shop.install(wanted(`${url}/?token=secret`), { profile });
    expect(facts.cliError).toBe('download failed with status 404');
    expect(progress).toEqual([]);
    if (tellsProgress) {
      expect(facts.fetch).toEqual({ bytes: 0, ms: expect.any(Number), longestPauseMs: 0 });
    }
    expect(shop.names()).toEqual([]);
  });

  test('follows ten redirects and no more, absolute and relative ones', async () => {
    const shop = new Workshop();
    const url = await serveHttp((incoming, answer) => {
      const hop = Number(incoming.url?.slice(1));
      if (hop === 0) {
        answer.end(blob);
      } else {
        answer
          .writeHead([301, 302, 303, 307, 308][hop % 5] ?? 302, {
            Location: hop % 2 ? `/${hop - 1}` : `${url}/${hop - 1}`,
          })
          .end('x');
      }
    });
    const refused = await shop.install(wanted(`${url}/11`), { profile });
    expect(refused.facts.cliError).toBe(`download failed: Get "${url}/1": stopped after 10 redirects`);
    const { facts } = await shop.install(wanted(`${url}/10`), { profile });
    expect(facts).not.toHaveProperty('cliError');
  });

  test('that is cut off says how far it came', async () => {
    const shop = new Workshop();
    const url = await serveTcp((socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(100)}`));
    });
    const { facts } = await shop.install(wanted(url), { profile });
    expect(facts.cliError).toBe(
      coversNext(profile)
        ? 'download interrupted after 100/1000 bytes: unexpected EOF'
        : 'download failed: unexpected EOF',
    );
    if (tellsProgress) {
      expect(facts.fetch).toMatchObject({ bytes: 100 });
    }
  });

  test('that is reset names both ends of the connection', async () => {
    const shop = new Workshop();
    // Long enough that a client which comes late to the bytes before it still sees a part of it.
    const pauseMs = 500;
    const url = await serveTcp((socket) => {
      socket.once('data', () => {
        const reset = () => setTimeout(() => socket.resetAndDestroy(), pauseMs);
        socket.write(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(100)}`, reset);
      });
    });
    const { facts } = await shop.install(wanted(url), { profile });
    const { host } = new URL(url);
    const prefix = coversNext(profile) ? 'download interrupted after 100/0 bytes: ' : 'download failed: ';
    expect(facts.cliError).toMatch(
      new RegExp(`^${prefix}read tcp 127\\.0\\.0\\.1:\\d+->${host}: read: connection reset by peer$`),
    );
    if (tellsProgress) {
      expect((facts.fetch as { longestPauseMs: number }).longestPauseMs).toBeGreaterThan(50);
    }
  });

  test('that is damaged on the way is a wrong checksum, and one that was packed damaged does not unpack', async () => {
    const shop = new Workshop();
    const cut = blob.subarray(0, total - 3);
    const url = await serveBlob(cut);
    expect((await shop.install(wanted(url), { profile })).facts.cliError).toBe(
      `checksum mismatch: expected=${sum}, actual=${sha256(cut)}`,
    );
    expect((await shop.install(wanted(url, sha256(cut)), { profile })).facts.cliError).toBe(
      'decompressing: unexpected EOF',
    );
    expect(shop.names()).toEqual([]);
  });

  test('larger than -max-cli-bytes is given up, packed as well as unpacked', async () => {
    const shop = new Workshop();
    const url = await serveBlob();
    const words = (most: number) => [...wanted(url), '-max-cli-bytes', String(most)];
    expect((await shop.install(words(total - 1), { profile })).facts.cliError).toBe(
      `download failed: response exceeds ${total - 1} bytes`,
    );
    const big = pack('#!/bin/sh\n'.padEnd(10_000, '\n'));
    const bomb = await serveBlob(big);
    expect(
      (await shop.install([...wanted(bomb, sha256(big)), '-max-cli-bytes', '9999'], { profile })).facts.cliError,
    ).toBe('decompressing: decompressed CLI exceeds 9999 bytes');
    expect(shop.names()).toEqual([]);
  });

  test('of a CLI that does not run leaves no download behind', async () => {
    const shop = new Workshop();
    const packed = pack(badCli);
    const { facts } = await shop.install(wanted(await serveBlob(packed), sha256(packed)), {
      profile,
      env: { TMPDIR: shop.home },
    });
    expect(facts.cliError).toBe(`installed cli at ${shop.path('1.2.3')} is not runnable`);
    expect(shop.names()).toEqual([]);
    expect(readdirSync(shop.home).filter((name) => name.startsWith('claustrum-fetch-'))).toEqual([]);
  });

  test('lies beside the versions when there is a folder for them, else in the temporary folder', async () => {
    const shop = new Workshop();
    const temporary = join(shop.home, 'tmp');
    mkdirSync(temporary);
    const seen: string[][] = [];
    const url = await serveHttp((_, answer) => {
      seen.push(
        [...shop.names(), ...readdirSync(temporary)].filter((name) => /^(\.blob-|claustrum-fetch-)/.test(name)),
      );
      answer.end('not the blob');
    });
    const env = { TMPDIR: temporary };
    await shop.install(wanted(url), { profile, env });
    mkdirSync(shop.folder, { recursive: true });
    await shop.install(wanted(url), { profile, env });
    const inFolder = [expect.stringMatching(/^\.blob-[0-9a-f]+$/)];
    const inTemporary = [expect.stringMatching(/^claustrum-fetch-[0-9a-f]+$/)];
    expect(seen).toEqual([coversNext(profile) ? inFolder : inTemporary, inFolder]);
    expect([...shop.names(), ...readdirSync(temporary)]).toEqual([]);
  });
});

describe('a download that never starts', () => {
  test('names the refused connection, the host nobody knows, and what is no address', async () => {
    const shop = new Workshop();
    const text = async (url: string) => (await shop.install(wanted(url))).facts.cliError;
    expect(await text('http://127.0.0.1:1/x')).toBe(
      'download failed: Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
    );
    expect(await text('http://nowhere.invalid/x')).toMatch(
      /^download failed: Get "http:\/\/nowhere\.invalid\/x": dial tcp: lookup nowhere\.invalid: /,
    );
    expect(await text('ftp://127.0.0.1/x')).toBe(
      'download failed: Get "ftp://127.0.0.1/x": unsupported protocol scheme "ftp"',
    );
    expect(await text('blob.zst')).toBe('download failed: Get "blob.zst": unsupported protocol scheme ""');
    expect(await text('http://[::1/')).toBe('download failed: Get "http://[::1/": invalid URL');
  });

  test('does not show the password of the address', async () => {
    const shop = new Workshop();
    const { facts } = await shop.install(wanted('http://me:secret@127.0.0.1:1/x'));
    expect(facts.cliError).toContain('Get "http://me:***@127.0.0.1:1/x"');
  });

  test('names a server that hangs up, and one that does not speak HTTP', async () => {
    const shop = new Workshop();
    const silent = await serveTcp((socket) => socket.once('data', () => socket.end()));
    expect((await shop.install(wanted(silent))).facts.cliError).toBe(`download failed: Get "${silent}": EOF`);
    const other = await serveTcp((socket) => socket.end('220 ftp.example.com ready\r\n'));
    expect((await shop.install(wanted(other))).facts.cliError).toMatch(
      new RegExp(`^download failed: Get "${other}": malformed HTTP response: `),
    );
  });

  test('sends the user name and password of the address, and asks for exactly what it names', async () => {
    const shop = new Workshop();
    const asked: string[] = [];
    const url = await serveHttp((incoming, answer) => {
      asked.push(`${incoming.method} ${incoming.url} ${incoming.headers.host} ${incoming.headers.authorization}`);
      answer.end(blob);
    });
    const { host } = new URL(url);
    await shop.install(wanted(`http://me:p%40ss@${host}/a%20b/c?d=e&f#g`));
    expect(asked).toEqual([`GET /a%20b/c?d=e&f ${host} Basic ${Buffer.from('me:p@ss').toString('base64')}`]);
  });
});

describe('limits of time', () => {
  async function here(url: string, timings: object, asked: object = {}): Promise<HereRun> {
    const shop = new Workshop();
    const run = await shop.installHere({ cliUrl: url, cliChecksum: sum, ...asked }, { timings });
    expect(shop.names()).toEqual([]);
    return run;
  }

  test('a server that never answers is given up, and nothing counts as received', async () => {
    const url = await serveTcp(() => {});
    const { outcome, lines } = await here(url, { responseHeadersMs: 200 });
    expect(outcome.cliError).toBe(`download failed: Get "${url}": net/http: timeout awaiting response headers`);
    expect(outcome.fetch).toMatchObject({ bytes: 0, longestPauseMs: 0 });
    expect(lines).toEqual([]);
  });

  test('a server that stops in the middle is given up with what it sent', async () => {
    const url = await serveTcp((socket) => {
      socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(100)}`));
    });
    const { outcome, lines } = await here(url, { readIdleMs: 1_000 });
    expect(outcome.cliError).toBe('download stalled: no data for 1s after 100/1000 bytes');
    expect(outcome.fetch?.bytes).toBe(100);
    expect(outcome.fetch?.longestPauseMs).toBeGreaterThanOrEqual(990);
    expect(lines[0]).toBe('__INSTALL_PROGRESS__{"phase":"download","bytes":0,"total":1000}');
  });

  test.each([0, 1, 2])(
    'a server that stalls after %i times 64 KiB leaves the old version as it was',
    async (pieces) => {
      const packed = pack(bigCli(400_000));
      const url = await serveHttp((_, answer) => {
        answer.setHeader('Content-Length', packed.length);
        answer.write(packed.subarray(0, Math.max(1, pieces * 65_536)));
      });
      const shop = new Workshop();
      shop.put('1.0.0', goodCli);
      const asked = { cliUrl: url, cliChecksum: sha256(packed) };
      const { outcome } = await shop.installHere(asked, { timings: { readIdleMs: 300 } });
      const got = Math.max(1, pieces * 65_536);
      expect(outcome.cliError).toBe(`download stalled: no data for 0.3s after ${got}/${packed.length} bytes`);
      expect(shop.names()).toEqual(['1.0.0']);
      const retry = await serveBlob(packed);
      expect((await shop.installHere({ ...asked, cliUrl: retry })).outcome.cliError).toBeUndefined();
    },
  );

  test('a server that is slow but never still is waited for', async () => {
    const url = await serveHttp((_, answer) => {
      answer.setHeader('Content-Length', total);
      let sent = 0;
      const timer = setInterval(() => {
        answer.write(blob.subarray(sent, ++sent));
        if (sent === total) {
          clearInterval(timer);
        }
      }, 20);
      answer.on('close', () => clearInterval(timer));
    });
    const shop = new Workshop();
    const { outcome, lines } = await shop.installHere(
      { cliUrl: url, cliChecksum: sum },
      { timings: { readIdleMs: 600, progressMs: 100 } },
    );
    expect(outcome.cliError).toBeUndefined();
    const counts = lines.map((line) => JSON.parse(line.slice('__INSTALL_PROGRESS__'.length)).bytes);
    expect(counts[0]).toBe(0);
    expect(counts[counts.length - 1]).toBe(total);
    expect(counts.length).toBeGreaterThan(3);
    expect(counts.slice(0, -1)).toEqual([...new Set(counts.slice(0, -1))].sort((a, b) => a - b));
  });

  test('-cli-download-timeout bounds the whole of it, before the answer and in the body', async () => {
    const silent = await serveTcp(() => {});
    expect((await here(silent, {}, { cliDownloadTimeoutMs: 200 })).outcome.cliError).toBe(
      `download failed: Get "${silent}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    );
    const slow = await serveTcp((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx'));
    });
    expect((await here(slow, {}, { cliDownloadTimeoutMs: 300 })).outcome.cliError).toBe(
      'download failed: context deadline exceeded (Client.Timeout or context cancellation while reading body)',
    );
  });

  test('a host that does not answer the connection is given up', async () => {
    // A stopped program accepts nothing: once its backlog is full, the next connection is not answered.
    const script = `const server = require('net').createServer();
      server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;
    const listener = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void listener.kill('SIGKILL'));
    const [line] = (await once(listener.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    listener.kill('SIGSTOP');
    const filling = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    onTestFinished(() => {
      for (const socket of filling) {
        socket.destroy();
      }
    });
    const url = `http://127.0.0.1:${port}/`;
    const { outcome } = await here(url, { connectMs: 500 });
    expect(outcome.cliError).toBe(`download failed: Get "${url}": dial tcp 127.0.0.1:${port}: i/o timeout`);
  });
});

test('a body without a length tells no total', async () => {
  const shop = new Workshop();
  const url = await serveHttp((_, answer) => {
    answer.write(blob.subarray(0, 10));
    answer.end(blob.subarray(10));
  });
  const { progress, facts } = await shop.install(wanted(url));
  expect(facts).not.toHaveProperty('cliError');
  expect(progress).toEqual([
    { phase: 'download', bytes: 0 },
    { phase: 'download', bytes: total },
  ]);
});

test('a download of many pieces arrives whole', async () => {
  const shop = new Workshop();
  const content = bigCli(3_000_000);
  const packed = pack(content);
  const { facts } = await shop.install(wanted(await serveBlob(packed), sha256(packed)));
  expect(facts).not.toHaveProperty('cliError');
  expect(sha256(readFileSync(shop.path('1.2.3')))).toBe(sha256(content));
});
