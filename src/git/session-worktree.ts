/**
 * Whether a path is a linked worktree of a repository, decided from the files of the repository alone, and a private
 * git directory in which its state can be asked for (spec git.md §4.2). Nothing the worktree itself says counts, since
 * whoever works in it can write there.
 */
import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdtemp, open, readdir, readFile, readlink, realpath, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { GitHost, Paths } from '../../platform/platform.ts';
