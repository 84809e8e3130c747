/** Another release of the program: a tree of its own, with another version and other versions of the channel. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copySource } from '../../support/program-copy.ts';

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
