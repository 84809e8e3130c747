/** `config.json` and which of its meshes a daemon serves (spec mesh.md §1, §3.1). */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { chooseMesh, readConfig } from '../../../src/doors/mesh/config.ts';
import { MeshRefusal } from '../../../src/doors/mesh/refusal.ts';
import { configOf, newMember } from './members.ts';

const folder = mkdtempSync('/tmp/hfm-');
const file = join(folder, 'config.json');
afterAll(() => rmSync(folder, { recursive: true }));

/** What the user is told about a choice; the slug of the mesh where there is one. */
function chosen(
  config: string | object | undefined,
  slug?: string,
): string | readonly [text: string, exitCode: number] {
  rmSync(file, { force: true });
  if (config !== undefined) {
    writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  }
  try {
    return chooseMesh(readConfig(file), slug).slug;
  } catch (error) {
    if (error instanceof MeshRefusal) {
      return [error.message, error.exitCode];
    }
    throw error;
  }
}

const usage = 2;
const none = ['no mesh joined; run `claudemesh join <invite-url>` first', usage];
const [a, b] = ['a', 'b'].map((slug) => configOf(newMember(slug), 'ws://127.0.0.1:9', slug) as { meshes: object[] });
const both = { version: 1, role: 'kept', meshes: [...(a?.meshes ?? []), ...(b?.meshes ?? [])] };

test('no file, and one without a list of meshes, is one with none', () => {
  for (const config of [undefined, {}, { meshes: 'none' }, { meshes: [] }, [], 'null', '1']) {
    expect(chosen(config)).toEqual(none);
  }
});

test('the only one is taken, and of several the one that is named', () => {
  expect(chosen(a)).toBe('a');
  expect(chosen(both, 'b')).toBe('b');
});

test('several of which none is named, and one that is not joined, are refused with what there is', () => {
  expect(chosen(both)).toEqual(['multiple meshes joined; pass --mesh <slug>\navailable: a, b', usage]);
  expect(chosen(both, 'nope')).toEqual(['mesh not found: nope\njoined meshes: a, b', usage]);
  expect(chosen({ meshes: [] }, 'nope')).toEqual(['mesh not found: nope\njoined meshes: (none)', usage]);
  expect(chosen(both, '\u001b[31m')).toEqual(['mesh not found: \\x1b[31m\njoined meshes: a, b', usage]);
});

test.each([
  ['{"meshes":[{"secretKey":"s3cret",}]}', 'not valid JSON'],
  ['{"meshes":[{"slug":"s"}]}', 'meshes[0].meshId must be a text'],
  ['{"meshes":[null]}', 'meshes[0].meshId must be a text'],
  [JSON.stringify({ meshes: [{ ...a?.meshes[0], secretKey: 7 }] }), 'meshes[0].secretKey must be a text'],
])('%s is refused by name, and not shown', (config, reason) => {
  expect(chosen(config)).toEqual([`Failed to load ${file}: ${reason}`, usage]);
});

test('what cannot be read is refused with the reason', () => {
  rmSync(file, { force: true });
  mkdirSync(file);
  expect(() => readConfig(file)).toThrow(/^Failed to load \S+config\.json: EISDIR/);
});
