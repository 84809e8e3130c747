/** Refs of our own: whatever stands in the repository at that moment, nothing on the way to a branch leads out of them. */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { linkRefs, ownWayTo } from '../../../src/git/run/private-refs.ts';
import { git, platform, repository, scratchFolder, write } from '../support.ts';
import { contentOf } from '../vectors/trap.ts';

test.each(['refs', 'refs/heads', 'refs/heads/team'])(
  '%s that is a link only while it is looked at gets nothing written through it',
  async (name) => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    git(base, 'branch', 'team/x');
    const real = join(base, '.git');
    const made = join(folder, 'made');
    mkdirSync(made);
    const outside = join(folder, 'outside');
    write(join(outside, 'victim'), 'mine\n');
    const before = contentOf(outside);
    const swapped = join(real, name);
    renameSync(swapped, join(folder, 'aside'));
    symlinkSync(outside, swapped);
    await linkRefs(real, made, platform.git);
    await ownWayTo(['heads', 'team', 's'], real, made, platform.git);
    // What git does to make the branch.
    mkdirSync(join(made, 'refs', 'heads', 'team'), { recursive: true });
    writeFileSync(join(made, 'refs', 'heads', 'team', 's'), 'x\n');
    expect(contentOf(outside)).toBe(before);
    rmSync(swapped);
    renameSync(join(folder, 'aside'), swapped);
    expect(readFileSync(join(made, 'refs', 'heads', 'team', 's'), 'utf8')).toBe('x\n');
    expect(git(base, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main\nrefs/heads/team/x');
  },
);
