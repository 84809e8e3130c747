/** Other users of the host: nothing that they could have put in place is run (threat 2 of docs/security.md). */
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { usualDecoder } from '../../src/install/zstd.ts';
import { root, testNeeding } from '../support/needs.ts';
import { goodCli, pack, profiles, sha256, Workshop } from './support.ts';

const stranger = 61_019;
const wanted = ['-cli-version', '1.2.3'] as const;

/** The folder of the versions, with a CLI in it that another user has planted. */
function planted(shop: Workshop): string {
  const cli = shop.put('1.2.3', goodCli);
  chownSync(cli, stranger, stranger);
  return cli;
}

describe.each(profiles)('profile %s', (profile) => {
  testNeeding(root)(
    'a folder of another user is refused by name, and nothing in it is run or changed',
    {},
    async () => {
      const shop = new Workshop();
      planted(shop);
      chownSync(shop.folder, stranger, stranger);
      const blob = shop.blob();
      const refusal = `mkdir cli dir: ${shop.folder} belongs to user ${stranger}, not to user 0; choose a -cli-dir below a folder of your own`;
      for (const version of ['1.2.3', '2.0.0']) {
        const { facts } = await shop.install(['-cli-version', version, '-cli-zst', blob], { profile });
        expect(facts).toMatchObject({ cliPath: '', cliWasPresent: false, cliError: refusal });
      }
      expect(shop.runs()).toEqual([]);
      expect(shop.names()).toEqual(['1.2.3']);
      expect(existsSync(blob)).toBe(true);
    },
  );

  testNeeding(root)('a folder below one that everybody can write is refused by the name of that one', {}, async () => {
    const shop = new Workshop();
    const open = join(shop.home, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    const words = ['-cli-dir', join(open, 'cli'), ...wanted, '-cli-zst', shop.blob()];
    const { facts } = await shop.install(words, { profile });
    expect(facts.cliError).toBe(
      `mkdir cli dir: ${open} is writable by everyone and has no sticky bit; chmod o-w ${open}, or choose a -cli-dir below a folder of your own`,
    );
    expect(existsSync(join(open, 'cli'))).toBe(false);
  });

  testNeeding(root)('a link that another user has put in the way is refused, whatever it leads to', {}, async () => {
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    const shared = join(shop.home, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    symlinkSync(shop.folder, join(shared, 'cli'));
    lchownSync(join(shared, 'cli'), stranger, stranger);
    const { facts } = await shop.install(['-cli-dir', join(shared, 'cli'), ...wanted], { profile });
    expect(facts.cliError).toContain(
      `mkdir cli dir: ${join(shared, 'cli')} belongs to user ${stranger}, not to user 0;`,
    );
    expect(shop.runs()).toEqual([]);
  });

  testNeeding(root)('a CLI that another user has planted is not run, and ours takes its place', {}, async () => {
    const shop = new Workshop();
    const cli = planted(shop);
    const none = await shop.install(wanted, { profile });
    expect(none.facts).toMatchObject({
      cliWasPresent: false,
      cliError: 'cli 1.2.3 missing and no --cli-url or --cli-zst provided',
    });
    expect(none.stderr).toContain(
      `cli ${cli} was not run: ${cli} belongs to user ${stranger}, not to user 0; remove it, and install a CLI of your own`,
    );
    expect(shop.runs()).toEqual([]);

    const installed = await shop.install([...wanted, '-cli-zst', shop.blob()], { profile });
    expect(installed.facts).not.toHaveProperty('cliError');
    expect(shop.runs()).toHaveLength(1);
  });

  test('a CLI that everybody can write is not run', async () => {
    const shop = new Workshop();
    const cli = shop.put('1.2.3', goodCli);
    chmodSync(cli, 0o777);
    const { facts, stderr } = await shop.install(wanted, { profile });
    expect(facts).toMatchObject({ cliWasPresent: false });
    expect(stderr).toContain(`was not run: ${cli} is writable by everyone; chmod o-w ${cli}, or `);
    expect(shop.runs()).toEqual([]);
  });

  testNeeding(root)('a CLI that a group can write is not run', {}, async () => {
    const shop = new Workshop();
    const cli = shop.put('1.2.3', goodCli);
    chownSync(cli, 0, stranger);
    chmodSync(cli, 0o775);
    const { facts, stderr } = await shop.install(wanted, { profile });
    expect(facts).toMatchObject({ cliWasPresent: false });
    expect(stderr).toContain(`${cli} is writable by group ${stranger}, which others may be in; chmod g-w ${cli}, or `);
    expect(shop.runs()).toEqual([]);
  });

  test('a blob that is changed between its check and its unpacking is not installed', async () => {
    const shop = new Workshop();
    // More than one read of the blob, so that its end is read after its check.
    const noise = Buffer.from(Array.from({ length: 3 << 20 }, () => 35 + Math.floor(Math.random() * 90))).toString(
      'latin1',
    );
    const first = pack(`#!/bin/sh\n#${noise}\n`);
    const [good, evil] = [pack('echo good >> "$HOME/runs"\n'), pack('echo evil >> "$HOME/runs"\n')];
    expect(evil).toHaveLength(good.length);
    const blob = join(shop.home, 'blob');
    writeFileSync(blob, Buffer.concat([first, good]));
    const expected = sha256(readFileSync(blob));
    const decoder = {
      ...usualDecoder,
      async *decode(frame: AsyncGenerator<Buffer>) {
        const file = await open(blob, 'r+');
        await file.write(evil, 0, evil.length, first.length);
        await file.close();
        yield* usualDecoder.decode(frame);
      },
    };
    const { outcome } = await shop.installHere({ cliZst: blob, cliChecksum: expected }, { profile, decoder });
    expect(outcome.cliError).toBe(
      `checksum mismatch: expected=${expected}, actual=${sha256(Buffer.concat([first, evil]))}`,
    );
    expect(shop.runs()).toEqual([]);
    expect(shop.names()).toEqual([]);
    expect(existsSync(blob)).toBe(true);
  });
});
