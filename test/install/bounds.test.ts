/**
 * The limits of the contract with its own numbers (spec install.md §4, §6; modes.md §12), in the program itself: its clock
 * runs many times as fast, so nobody has to wait for a minute. Shorter limits are tried where the rules are (download, local).
 */
import { createServer } from 'node:net';
import { describe, expect } from 'vitest';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { faketime, faketimeLibrary, testNeeding } from '../support/needs.ts';
import { listen, serveTcp } from './servers.ts';
import { expectHangingEnded, goodCli, hangingCli, unresponsive, Workshop } from './support.ts';

const testFast = testNeeding(faketime);
/** The clock may not run faster, because the steps before the limit, such as the start of a program, take their real time. */
const speededUp = (times: number) => ({ LD_PRELOAD: faketimeLibrary, FAKETIME: `+0 x${times}` });
const env = speededUp(20);
const wanted = (url: string) => ['-cli-version', '1.2.3', '-cli-url', url, '-cli-checksum', 'x'];

describe('a download', () => {
  testFast('is given up 60 seconds after the last byte, and says so', {}, async () => {
    const url = await serveTcp((socket) => {
      socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(100)}`));
    });
    const shop = new Workshop();
    shop.put('1.0.0', goodCli);
    const { facts } = await shop.install(wanted(url), { env });
    expect(facts.cliError).toBe('download stalled: no data for 60s after 100/1000 bytes');
    expect(facts.fetch).toMatchObject({ bytes: 100 });
    const { longestPauseMs } = facts.fetch as { longestPauseMs: number };
    expect(longestPauseMs).toBeGreaterThanOrEqual(60_000);
    expect(shop.names()).toEqual(['1.0.0']);
  });

  testFast('is given up when there is no answer within 60 seconds', {}, async () => {
    const url = await serveTcp(() => {});
    const { facts, progress } = await new Workshop().install(wanted(url), { env });
    expect(facts.cliError).toBe(`download failed: Get "${url}": net/http: timeout awaiting response headers`);
    expect(facts.fetch).toMatchObject({ bytes: 0, longestPauseMs: 0 });
    expect((facts.fetch as { ms: number }).ms).toBeGreaterThanOrEqual(60_000);
    expect(progress).toEqual([]);
  });

  testFast('is given up when TLS takes longer than 10 seconds', {}, async () => {
    const url = `https://127.0.0.1:${await listen(createServer())}/`;
    const { facts } = await new Workshop().install(wanted(url), { env });
    expect(facts.cliError).toBe(`download failed: Get "${url}": net/http: TLS handshake timeout`);
    expect((facts.fetch as { ms: number }).ms).toBeGreaterThanOrEqual(10_000);
    expect((facts.fetch as { ms: number }).ms).toBeLessThan(60_000);
  });
});

describe('a CLI that does not answer', () => {
  testFast('is stopped after 30 seconds when it was there, with all it started', {}, async () => {
    const shop = new Workshop();
    shop.put('1.2.3', hangingCli);
    const { facts } = await shop.install(['-cli-version', '1.2.3', '-cli-zst', shop.blob()], { env });
    expect(facts).toMatchObject({ cliWasPresent: false, cliError: unresponsive, cliUnresponsive: true });
    await expectHangingEnded(shop);
  });

  testFast('is stopped after 120 seconds when it is new', {}, async () => {
    const shop = new Workshop();
    const words = ['-cli-version', '1.2.3', '-cli-zst', shop.blob(hangingCli)];
    const { facts } = await shop.install(words, { env: speededUp(60) });
    expect(facts).toMatchObject({ cliWasPresent: false, cliError: unresponsive, cliUnresponsive: true });
    await expectHangingEnded(shop);
  });

  testFast('is told from one that does not run by -probe-cli, after 30 seconds', {}, async () => {
    const shop = new Workshop();
    const path = shop.put('cli', hangingCli);
    const result = await runHoldfast(['-wire-profile', 'next', '-probe-cli', path], {
      env: cleanEnvironment(shop.home, env),
    });
    expect(result).toMatchObject({ code: 0, stdout: '__CLI_HUNG__\n', stderr: '' });
    await expectHangingEnded(shop);
  });
});
