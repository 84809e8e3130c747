/** A listener of another user in a daemon's place is given neither the token nor a client's first byte. */
import { existsSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { becoming, otherUsers } from '../support/as-user.ts';
import { prepareDaemon, startDaemon } from '../support/daemon.ts';
import { listenAs } from '../support/foreign-listener.ts';
import { cleanEnvironment, program, runHoldfast } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { installed, testNeeding } from '../support/needs.ts';
import { untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const stranger = 61_021;
const refusal = (socket: string) =>
  `dial unix ${socket}: connect: its listener belongs to user ${stranger}, not to user 0 or root; nothing was sent to it`;
const request = '{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"very secret"}\n';
const env = cleanEnvironment('/nonexistent');
const testWithStrangers = testNeeding(otherUsers(), installed('setpriv', 'util-linux'));

describe('-bridge', () => {
  testWithStrangers('sends nothing to a listener of another user, and says whose it is', {}, async () => {
    await using trap = await listenAs(stranger);
    const options = { env, input: request };
    const bridge = await runHoldfast(['-bridge', '-socket', trap.socket], options);
    expect(bridge).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `claustrum: dial server: ${refusal(trap.socket)}\n`,
    });
    // With pipes the bytes would go another way.
    const words = ['-c', `printf '%s' "$2" | "$0" -bridge -socket "$1" | cat`, program, trap.socket, request];
    expect((await runHoldfast(words, { env, program: 'sh' })).stderr).toBe(bridge.stderr);
    await trap.untilClosed(2);
    expect(trap.received()).toBe('');
  });

  testWithStrangers('serves a user whose listener is root’s, which could read everything anyway', {}, async () => {
    await using listener = await listenAs(0);
    const [first = '', ...words] = [...becoming(stranger), program, '-bridge', '-socket', listener.socket];
    const running = runHoldfast(words, { env, program: first, input: request });
    await waitUntil(() => listener.received() === request, 'the request to arrive');
    await listener[Symbol.asyncDispose]();
    expect((await running).code).toBe(0);
  });
});

describe('the client library', () => {
  testWithStrangers(
    'sends nothing to a listener of another user, starts nothing beside it, and says whose it is',
    {},
    async () => {
      await using trap = await listenAs(stranger);
      await expect(connect({ socket: trap.socket, token: 'very secret', start: true, program })).rejects.toMatchObject({
        kind: 'refused',
        message: expect.stringContaining(
          `${trap.socket} belongs to user ${stranger}, not to you (user 0); nothing was sent`,
        ),
      });
      expect(trap.received()).toBe('');
    },
  );

  testWithStrangers('sends nothing to whoever has taken the path of its daemon meanwhile', {}, async () => {
    await using trap = await listenAs(stranger);
    await using daemon = await startDaemon();
    await using host = await connectTo(daemon, { retry: { firstMs: 5, maxMs: 20, giveUpMs: 100 } });
    const job = await host.spawn({ command: 'sleep', args: ['3600'] });
    unlinkSync(daemon.socket);
    renameSync(trap.socket, daemon.socket);
    await daemon.kill();
    await expect(job.exit).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(`belongs to user ${stranger}`),
    });
    expect(trap.received()).toBe('');
  });
});

describe('-stop', () => {
  for (const [profile, word] of [
    ['S', ''],
    ['current', ''],
    ['next', 'none\n'],
  ] as const) {
    testWithStrangers(`profile ${profile} sends nothing to a listener of another user, and says so`, {}, async () => {
      await using trap = await listenAs(stranger);
      const stop = await runHoldfast(['-stop', '-wire-profile', profile, '-socket', trap.socket], { env });
      expect(stop).toMatchObject({ code: 0, stdout: word });
      expect(stop.stderr).toContain(`[daemon] stop: WARNING ${refusal(trap.socket)}\n`);
      await trap.untilClosed(1);
      expect(trap.received()).toBe('');
    });
  }
});

describe('a daemon', () => {
  testWithStrangers('does not send its token to whoever took its path', {}, async () => {
    await using trap = await listenAs(stranger);
    const timings = { selfProbeMs: 20, orphanGraceMs: 40 };
    await using daemon = await startDaemon({ profile: 'current', timings });
    const target = daemon.process();
    await using client = await connectTo(daemon);
    await client.spawn({ command: 'sleep', args: ['3600'] });
    unlinkSync(daemon.socket);
    renameSync(trap.socket, daemon.socket);
    await client.close();
    await untilEnded(target);
    expect(daemon.log()).toContain('2 self-probes failed');
    await trap.untilClosed(1);
    expect(trap.received()).toBe('');
  });

  testWithStrangers(
    'does not ask another user’s listener for its metrics, and leaves its socket alone',
    {},
    async () => {
      await using trap = await listenAs(stranger);
      await using daemon = await startDaemon({ flags: ['-metrics-addr', `unix:${trap.socket}`] });
      await daemon.untilLogged(/metrics: listen unix .*: bind: address already in use/);
      await trap.untilClosed(1);
      expect(trap.received()).toBe('');
      await using client = await connectTo(daemon);
      expect(await client.server.ping()).toEqual({ pong: true });
    },
  );
});

describe('-serve', () => {
  testWithStrangers('does not take another user’s listener for the daemon it has started', {}, async () => {
    await using trap = await listenAs(stranger);
    await using daemon = await prepareDaemon({ failpoints: '' });
    const paused = join(daemon.dir, 'paused');
    daemon.env.HOLDFAST_FAILPOINTS = `daemon.token.write=pause(${paused})`;
    const launched = daemon.launch();
    await waitUntil(() => existsSync(paused), 'the daemon to listen');
    renameSync(trap.socket, daemon.socket);
    unlinkSync(paused);
    expect(await launched).toMatchObject({
      code: 1,
      stderr: `holdfast: ${refusal(daemon.socket)}\nclaustrum: timeout waiting for daemon to accept on ${daemon.socket}\n`,
    });
    expect(trap.received()).toBe('');
  });
});
