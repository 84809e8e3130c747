import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { version } from '../../src/base/version.ts';
import { versionLine } from '../../src/modes/version.ts';

test('the version is that of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(version).toBe(manifest.version);
});

test('-version names the version and the build time', () => {
  expect(versionLine(undefined)).toBe(`claustrum ${version} (built unknown)`);
});

test('with an override clients find the commit they expect, and people still see what it is', () => {
  const commit = '0123456789abcdef0123456789abcdef01234567';
  const line = versionLine(commit);
  expect(line).toBe(`claude-ssh ${commit} (via Claustrum ${version}, built unknown)`);
  expect(/claude-ssh\s+(\S+)/.exec(line)?.[1]).toBe(commit);
});
