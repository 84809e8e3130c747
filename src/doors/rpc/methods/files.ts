/** The `files.*` methods: params in, replies out (spec files.md). The work is src/files. */
import { SystemCallError } from '../../../../platform/errors.ts';
import { extractTar } from '../../../files/extract-tar.ts';
import { ExtractionError } from '../../../files/extraction-error.ts';
import { listFolder } from '../../../files/list.ts';
import { readFile } from '../../../files/read.ts';
import type { FilesServices } from '../../../files/services.ts';
import { statFile } from '../../../files/stat.ts';
import { decodeBytes } from '../../../wire/utf8.ts';
import { RpcError } from '../errors.ts';
import { modeText } from '../mode-text.ts';
import { int64, object, string } from '../params.ts';
import { answerLong } from './long-answer.ts';
import { defineMethod, type Method } from './method.ts';

/** A folder does not tell how much it holds: a listing is begun when there is room for so much of an answer. */
const roomOfListing = 256 * 1024;

/** One decoder for four methods: a mistyped member is refused even where it is not used (spec files.md §1). */
const pathParams = object({ path: string(), maxBytes: int64() });
const extractParams = object({ archivePath: string(), destDir: string() });

export const filesMethods: readonly Method<FilesServices>[] = [
  defineMethod({
    name: 'files.list',
    bulk: true,
    params: pathParams,
    async run({ path = '' }, { services, client }) {
      return answerLong(client, async (answer) => {
        await answer.room(roomOfListing);
        const { pathPrefix, entries } = await listFolder(path, services);
        await answer.list('entries', entries, ({ name: bytes, isDirectory }) => {
          const name = decodeBytes(bytes);
          return { name, path: pathPrefix + name, isDir: isDirectory };
        });
      });
    },
  }),
  defineMethod({
    name: 'files.validate',
    params: pathParams,
    async run({ path = '' }, { services }) {
      try {
        const found = await statFile(path, services);
        return found === undefined
          ? { valid: false, isDir: false, error: 'Path does not exist' }
          : { valid: true, isDir: found.kind === 'directory' };
      } catch (error) {
        if (error instanceof SystemCallError) {
          return { valid: false, isDir: false, error: error.message };
        }
        throw error;
      }
    },
  }),
  defineMethod({
    name: 'files.stat',
    params: pathParams,
    async run({ path = '' }, { services }) {
      const found = await statFile(path, services);
      return found === undefined
        ? { exists: false, isDir: false, size: 0, mode: '' }
        : { exists: true, isDir: found.kind === 'directory', size: found.size, mode: modeText(found) };
    },
  }),
  defineMethod({
    name: 'files.read',
    bulk: true,
    params: pathParams,
    async run({ path = '', maxBytes }, { services, client }) {
      return answerLong(client, async (answer) => {
        answer.beginString('content');
        const exists = await readFile(path, maxBytes, answer, services);
        answer.endString();
        answer.member('exists', exists);
      });
    },
  }),
  defineMethod({
    name: 'files.extract_tar',
    params: extractParams,
    async run({ archivePath, destDir }, { services }) {
      if (!archivePath || !destDir) {
        throw new RpcError('invalidParams', 'archivePath and destDir are required');
      }
      try {
        return { success: true, fileCount: await extractTar(archivePath, destDir, services) };
      } catch (error) {
        if (error instanceof ExtractionError) {
          return { success: false, fileCount: 0, error: error.message };
        }
        throw error;
      }
    },
  }),
];
