/** `files.extract_tar` takes what Go's reader takes and refuses what that refuses (tried-archives.ts). */
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { ArchiveError } from '../../src/files/archive-error.ts';
import { ByteReader } from '../../src/files/byte-reader.ts';
import { TarReader } from '../../src/files/tar-reader.ts';
import { extract, scratchFolder } from './support.ts';
import { checksumOf, triedArchives } from './tried-archives.ts';

/** What go-verdicts.go prints. */
interface Verdict {
  readonly title: string;
  readonly checksum: string;
  readonly entries: readonly Entry[];
  readonly refusal?: string;
  readonly place?: 'header' | 'content';
}

interface Entry {
  /** Bytes as latin1 characters. */
  readonly name: string;
  readonly type: string;
  readonly mode: string;
  readonly content?: string;
}

const verdicts: readonly Verdict[] = JSON.parse(readFileSync(new URL('./go-verdicts.json', import.meta.url), 'utf8'));

/** The archive as our reader finds it, told in the same way. */
async function read(archive: Buffer): Promise<Pick<Verdict, 'entries' | 'refusal' | 'place'>> {
  let rest: Buffer | undefined = archive;
  const tar = new TarReader(
    new ByteReader(async () => {
      const all = rest;
      rest = undefined;
      return all;
    }),
  );
  const entries: Entry[] = [];
  let place: Verdict['place'] = 'header';
  try {
    for (;;) {
      place = 'header';
      const next = await tar.next();
      if (next === undefined) {
        return { entries };
      }
      const found = { name: next.name.toString('latin1'), type: next.typeLetter, mode: next.mode.toString(8) };
      if (next.type === 'file') {
        place = 'content';
        entries.push(found);
        const pieces: Buffer[] = [];
        for await (const piece of tar.content()) {
          pieces.push(Buffer.from(piece));
        }
        const content = contentText(Buffer.concat(pieces));
        entries.splice(-1, 1, { ...found, ...(content !== '' && { content }) });
      } else {
        entries.push(found);
      }
      if (next.type === 'other') {
        return { entries };
      }
    }
  } catch (error) {
    if (!(error instanceof ArchiveError)) {
      throw error;
    }
    return { entries, refusal: error.message, place };
  }
}

function contentText(content: Buffer): string {
  return content.length <= 64
    ? content.toString('latin1')
    : `${content.length} bytes, sha256:${createHash('sha256').update(content).digest('hex')}`;
}

test('every archive of the table has its verdict, and the verdict is on these very bytes', () => {
  expect(verdicts.map(({ title, checksum }) => ({ title, checksum }))).toEqual(
    Object.entries(triedArchives).map(([title, archive]) => ({ title, checksum: checksumOf(archive) })),
  );
  expect(verdicts.filter(({ refusal }) => refusal !== undefined).length).toBeGreaterThan(100);
});

test.each(verdicts.map((verdict) => [verdict.title, summaryOf(verdict), verdict] as const))(
  '%s is %s',
  async (title, _, { entries, refusal, place }) => {
    expect(await read(triedArchives[title] ?? Buffer.alloc(0))).toEqual({
      entries,
      ...(refusal !== undefined && { refusal, place }),
    });
  },
);

function summaryOf({ entries, refusal }: Verdict): string {
  const found = entries.map(({ name, type }) => JSON.stringify(`${type} ${name.slice(0, 30)}`)).join(', ');
  return refusal === undefined ? `read as [${found}]` : `refused: ${refusal}`;
}

test.each(['S', 'next'] as const)(
  'in profile %s a client gets the files of all archives that are read, and the fault of the others in the words of the contract',
  { timeout: 120_000 },
  async (profile) => {
    const folder = scratchFolder();
    const archivePath = join(folder, 'arc.tgz');
    const destDir = join(folder, 'out');
    for (const verdict of verdicts) {
      const { title, entries } = verdict;
      writeFileSync(archivePath, gzipSync(triedArchives[title] ?? Buffer.alloc(0), { level: 1 }));
      const outcome = await extract(archivePath, destDir, { profile });
      const error = errorOf(verdict, profile, destDir);
      const files = entries.filter(({ type }) => type === '0');
      expect(outcome, title).toEqual(
        error === undefined ? { success: true, fileCount: files.length } : { success: false, fileCount: 0, error },
      );
      const written = error === undefined ? files : [];
      for (const { name, mode, content = '' } of written) {
        // A name of type 0 may end in a slash and is a file all the same.
        const path = Buffer.from(`${destDir}/${name.replace(/\/$/, '')}`, 'latin1');
        expect(contentText(readFileSync(path)), title).toBe(content);
        const isProgram = profile === 'next' && Number.parseInt(mode, 8) & 0o100;
        expect(statSync(path).mode & 0o777, title).toBe(isProgram ? 0o700 : 0o600);
      }
    }
  },
);

/** What `files.extract_tar` says; `undefined` when the archive is unpacked. */
function errorOf({ entries, refusal, place }: Verdict, profile: 'S' | 'next', destDir: string): string | undefined {
  const last = entries.at(-1);
  if (last?.name === '' && last.type === '0') {
    return profile === 'S' ? `create : open ${destDir}: is a directory` : 'create : openat .: file exists';
  }
  if (last !== undefined && last.type !== '0' && last.type !== '5') {
    return `unsupported tar entry type ${last.type}: ${last.name}`;
  }
  if (refusal === undefined) {
    return undefined;
  }
  if (place === 'content') {
    return profile === 'S' ? refusal : `write ${last?.name}: ${refusal}`;
  }
  return `${profile === 'S' ? 'gzip: ' : 'tar read: '}${refusal}`;
}
