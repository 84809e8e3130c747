/** Another release of the program: a tree of its own, with another version and other versions of the channel. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scriptForTests } from '../../support/holdfast.ts';
import { copySource } from '../../support/program-copy.ts';

/** What `programForTests` starts from source. */
const sourceForTests = 'main-for-tests.ts';

export interface Release {
  readonly version: string;
  /** Of the channel to the keeper, from the oldest to the newest. */
  readonly channel: readonly [number, number];
  /** As `programForTests` is: a daemon of ours is known by the name of its script, also to one of another release. */
  readonly forTests?: boolean;
}

/** Makes it in `folder`. @returns its `bin/holdfast`, or what stands for it in tests */
export function makeRelease(folder: string, { version, channel, forTests = false }: Release): string {
  copySource(folder);
  stamp(join(folder, 'src/base/version.ts'), /(version = )'[^']*'/, `$1'${version}'`);
  stamp(join(folder, 'src/keeper/channel/messages.ts'), /(channelVersions: VersionRange = )\[.*?\]/, `$1[${channel}]`);
  if (forTests && scriptForTests !== sourceForTests) {
    const fixtures = join(folder, 'test/fixtures');
    renameSync(join(fixtures, sourceForTests), join(fixtures, `its-${sourceForTests}`));
    writeFileSync(join(fixtures, scriptForTests), `import './its-${sourceForTests}';\n`);
  }
  return join(folder, forTests ? 'test/fixtures/holdfast-for-tests.sh' : 'bin/holdfast');
}

function stamp(file: string, place: RegExp, text: string): void {
  const before = readFileSync(file, 'utf8');
  const after = before.replace(place, text);
  if (after === before && !before.includes(text.slice(2))) {
    throw new Error(`${file} has no ${place}`);
  }
  writeFileSync(file, after);
}
