/** What a client hears of `server.shutdown` when the shutdown itself fails (spec generation-n2.md §10.1). */
import { expect, test } from 'vitest';
import { atOnce } from '../../../platform/steps.ts';
import { createLog } from '../../../src/base/log.ts';
import { type Caller, createDispatcher } from '../../../src/doors/rpc/dispatcher.ts';
import { type ServerServices, serverMethods } from '../../../src/doors/rpc/methods/server.ts';
import { profileNamed } from '../../../src/wire/profiles.ts';
import { everyProfile } from '../../support/profiles.ts';

test.each(everyProfile)('profile %s: a shutdown that fails is answered by no error frame', async (name) => {
  const profile = profileNamed(name);
  if (profile === undefined) {
    throw new Error(`no profile ${name}`);
  }
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    write(bytes) {
      lines.push(bytes.toString());
      return bytes.length;
    },
  });
  let asked = 0;
  const services = {
    profile,
    requestShutdown() {
      asked++;
      throw new Error('the disk is gone');
    },
  } as unknown as ServerServices;
  const frames: string[] = [];
  const caller = { admit() {}, showedToken() {}, reply: (frame: string) => void frames.push(frame) };
  const { handle } = createDispatcher({
    ...{ services, profile, token: Buffer.from('token'), methods: serverMethods, extensions: [], log },
  });
  atOnce(handle(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"server.shutdown"}'), caller as unknown as Caller));
  await new Promise(setImmediate);
  // Generation S answers a shutdown with nothing but the end of the connection.
  expect(frames).toEqual(name === 'S' ? [] : ['{"jsonrpc":"2.0","id":1,"result":{"ok":true}}\n']);
  expect(asked).toBe(1);
  expect(lines.join('')).toContain('after the reply to 1: Error: the disk is gone');
});
