/** The `files.*` methods (spec files.md). */
import { extractTar } from '../../../files/extract-tar.ts';
import { listFolder } from '../../../files/list.ts';
import { readFile } from '../../../files/read.ts';
import type { FilesServices } from '../../../files/services.ts';
import { statFile, validatePath } from '../../../files/stat.ts';
import { int64, object, string } from '../params.ts';
import { defineMethod, type Method } from './method.ts';

/** One decoder for four methods: a mistyped member is refused even where it is not used (spec files.md §1). */
const pathParams = object({ path: string(), maxBytes: int64() });
const extractParams = object({ archivePath: string(), destDir: string() });

export const filesMethods: readonly Method<FilesServices>[] = [
  defineMethod({
    name: 'files.list',
    params: pathParams,
    run: ({ path = '' }, { services }) => listFolder(path, services),
  }),
  defineMethod({
    name: 'files.validate',
    params: pathParams,
    run: ({ path = '' }, { services }) => validatePath(path, services),
  }),
  defineMethod({
    name: 'files.stat',
    params: pathParams,
    run: ({ path = '' }, { services }) => statFile(path, services),
  }),
  defineMethod({
    name: 'files.read',
    params: pathParams,
    run: ({ path = '', maxBytes }, { services }) => readFile(path, maxBytes, services),
  }),
  defineMethod({
    name: 'files.extract_tar',
    params: extractParams,
    run: ({ archivePath, destDir }, { services }) => extractTar(archivePath, destDir, services),
  }),
];
