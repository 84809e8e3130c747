/** A host with `sh`, which does everything in a few scripts. */
import { HoldfastError } from '../../client/index.ts';
import { copy, type Destination, isThere } from './copy.ts';
import { type Executable, targetNames } from './executable.ts';
import { checkLibc, choosePlace, type HostFacts, pathRemedy } from './look.ts';
import { type RemoteHost, runScript } from './remote-script.ts';
import type { UpgradeReport } from './upgrade.ts';
import type { OnProgress, Place, UpgradeThere, Way } from './way.ts';

const fileName = 'holdfast';

/** @throws HoldfastError for a system or processor that no executable is made for */
export function posixWay(host: RemoteHost, facts: HostFacts): Way {
  const { destination } = host;
  const { system, processor, target, libc, noise } = facts;
  if (target === undefined) {
    throw new HoldfastError(
      'unsupported',
      `${destination} is ${system || 'of an unknown system'} on ${processor || 'an unknown processor'}; there are executables for ${targetNames.join(', ')} (docs/deploy.md)`,
    );
  }
  const destinationOf = ({ file }: Place): Destination => ({ folder: folderOf(file), name: fileName, libc });
  return {
    ...{ target, libc, noise, example: 'uname -a' },
    check: (executable: Executable) => checkLibc(destination, facts, executable),
    place(asked) {
      const { folder, why, isOnPath } = choosePlace(facts, asked);
      const remedy = `${folder} is not on the PATH of ssh commands there; ${pathRemedy(facts, folder)}`;
      return { file: `${folder}/${fileName}`, why, isOnPath, remedy };
    },
    isThere: (executable: Executable, place: Place) => isThere(host, executable, destinationOf(place)),
    copy: (executable: Executable, place: Place, onProgress: OnProgress) =>
      copy(host, executable, destinationOf(place), onProgress),
    upgrade: (place, words) => upgradeThere(host, place.file, words),
  };
}

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}

/** Its answer is one line; whatever it complains about goes into ours. */
async function upgradeThere(host: RemoteHost, file: string, words: readonly string[]): Promise<UpgradeThere> {
  const statements = ['say found "$(command -v holdfast)"', 'A=$("$@")', 'say code $?', 'say answer "$A"'];
  const told = await runScript(host, statements, [file, ...words]);
  const found = told.get('found') ?? '';
  const { daemon } = answerOf(
    told.get('answer') ?? '',
    host,
    file,
    told.get('stderr') || `exit code ${told.get('code')}`,
  );
  return { daemon, foundInstead: found === file ? undefined : found };
}

/** @throws HoldfastError for what is no answer; `why` is what was complained about */
export function answerOf(answer: string, { destination }: RemoteHost, file: string, why: string): UpgradeReport {
  try {
    return JSON.parse(answer) as UpgradeReport;
  } catch (cause) {
    throw new HoldfastError(
      'unsupported',
      `${file} is on ${destination}, but its daemon was neither started nor replaced (${why}); see there: holdfast doctor`,
      { cause },
    );
  }
}
