/**
 * A Windows host behind its OpenSSH server, whose shell is cmd.exe or PowerShell. Lines are such that both read them alike, files
 * go by SFTP, and the program there looks at itself. All paths are relative to the home folder, where ssh commands begin.
 */
import { HoldfastError } from '../../client/index.ts';
import { type RemoteResult, runRemote } from '../../client/remote-command.ts';
import type { Executable } from './executable.ts';
import { answerOf } from './posix-way.ts';
import type { RemoteHost } from './remote-script.ts';
import { Sftp, SftpRefusal } from './sftp.ts';
import type { UpgradeReport } from './upgrade.ts';
import type { Copied, OnProgress, Place, Way } from './way.ts';

const fileName = 'holdfast.exe';
const usualFolder = 'AppData\\Local\\Programs\\holdfast';
const mostBytes = 1024 * 1024;
/** What neither shell takes for anything but a part of a word. */
const plainPath = /^[\w.-]+(?:\\[\w.-]+)*$/;

/** The environment of a login, by names in capitals; `undefined` where no Windows answers. */
export async function lookAtWindows(host: RemoteHost): Promise<ReadonlyMap<string, string> | undefined> {
  const { stdout } = await runThere(host, ['cmd', '/c', 'set']);
  const variables = new Map(
    stdout.split(/\r?\n/).flatMap((line): [string, string][] => {
      const [, name, value] = /^([^=]+)=(.*)$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name.toUpperCase(), value]];
    }),
  );
  return variables.get('OS') === 'Windows_NT' ? variables : undefined;
}

/** @throws HoldfastError for a processor that no executable is made for */
export function windowsWay(host: RemoteHost, variables: ReadonlyMap<string, string>): Way {
  const { destination } = host;
  const processor = variables.get('PROCESSOR_ARCHITECTURE') ?? '';
  if (!['AMD64', 'ARM64'].includes(processor)) {
    throw new HoldfastError(
      'unsupported',
      `${destination} is Windows on ${processor || 'an unknown processor'}; there is an executable for x64`,
    );
  }
  const home = variables.get('USERPROFILE') ?? '';
  const relative = ({ file }: Place): string => file.slice(home.length + 1);
  return {
    ...{ target: 'win-x64', libc: '', noise: '', example: 'cmd /c ver' },
    check() {},
    place: (asked) => choosePlace(host, home, (variables.get('PATH') ?? '').split(';'), asked),
    isThere: async (executable, place) => ({
      state: (await verdictOf(host, relative(place), executable)) === undefined ? 'there' : 'missing',
      continuedAt: 0,
    }),
    copy: (executable, place, onProgress) => copy(host, executable, relative(place), onProgress),
    async upgrade(place, words) {
      const { stdout, stderr, code } = await runThere(host, [`.\\${relative(place)}`, ...words]);
      const { daemon } = answerOf(stdout, host, place.file, stderr.trim() || `exit code ${code}`);
      return { daemon, foundInstead: place.isOnPath ? undefined : '' };
    },
  };
}

function choosePlace(
  { destination }: RemoteHost,
  home: string,
  path: readonly string[],
  asked: string | undefined,
): Place {
  const belowHome = (folder: string): string | undefined => {
    const spelled = folder.replaceAll('/', '\\').replace(/\\+$/, '');
    const isBelow = spelled.toLowerCase().startsWith(`${home.toLowerCase()}\\`);
    const rest = isBelow ? spelled.slice(home.length + 1) : spelled.replace(/^~\\/, '');
    return plainPath.test(rest) && (isBelow || rest !== spelled || asked !== undefined) ? rest : undefined;
  };
  const onPath = path.flatMap((folder) => (folder.includes(':') ? (belowHome(folder) ?? []) : []));
  const place = (folder: string, why: string): Place => ({
    ...{ file: `${home}\\${folder}\\${fileName}`, why },
    isOnPath: onPath.some((each) => each.toLowerCase() === folder.toLowerCase()),
    remedy: `${home}\\${folder} is not on the PATH of ssh commands there; in PowerShell there: [Environment]::SetEnvironmentVariable('Path', [Environment]::GetEnvironmentVariable('Path', 'User') + ';${home}\\${folder}', 'User')`,
  });
  if (asked !== undefined) {
    const folder = belowHome(asked);
    if (folder === undefined) {
      throw new HoldfastError(
        'unsupported',
        `--to ${asked}: on a Windows host (${destination}) the place is a folder below ${home}, of letters, digits, ".", "_" and "-"`,
      );
    }
    return place(folder, 'as asked for');
  }
  const [own] = onPath;
  return own === undefined
    ? place(usualFolder, 'no folder below the home folder is on the PATH of ssh commands there')
    : place(own, 'on the PATH of ssh commands there, and yours');
}

/** @returns `undefined` when the file is that executable and runs; else what was complained about */
async function verdictOf(host: RemoteHost, file: string, { sha256 }: Executable): Promise<string | undefined> {
  const words = [`.\\${file}`, 'upgrade', '--check', '--sha256', sha256, '--json'];
  const { stdout, stderr, code } = await runThere(host, words);
  try {
    const { program } = JSON.parse(stdout) as UpgradeReport;
    return program.sha256 === sha256 ? undefined : 'it is another program';
  } catch {
    return stderr.trim() || stdout.trim() || `exit code ${code}`;
  }
}

async function copy(host: RemoteHost, executable: Executable, file: string, onProgress: OnProgress): Promise<Copied> {
  if ((await verdictOf(host, file, executable)) === undefined) {
    return { state: 'there', continuedAt: 0 };
  }
  const sftp = await Sftp.open(host);
  try {
    return await copyBy(sftp, host, executable, file, onProgress);
  } finally {
    sftp.close();
  }
}

async function copyBy(
  sftp: Sftp,
  host: RemoteHost,
  executable: Executable,
  file: string,
  onProgress: OnProgress,
): Promise<Copied> {
  const part = `.holdfast-${executable.sha256.slice(0, 16)}.part.exe`;
  for (let attempt = 1; ; attempt++) {
    const continuedAt = await send(sftp, host, part, executable, onProgress);
    const why = await verdictOf(host, part, executable);
    if (why === undefined) {
      await put(sftp, part, file.replaceAll('\\', '/'));
      return { state: 'placed', continuedAt };
    }
    await sftp.remove(part);
    // What an earlier copy has left was not of this file, so now all of it is sent.
    if (continuedAt === 0 || attempt > 1) {
      throw new HoldfastError('unsupported', `the program does not run on ${host.destination}: ${why.slice(-500)}`);
    }
  }
}

/** @returns how much was there, in bytes */
async function send(
  sftp: Sftp,
  { destination }: RemoteHost,
  part: string,
  { bytes }: Executable,
  onProgress: OnProgress,
): Promise<number> {
  const found = (await sftp.size(part)) ?? 0;
  const from = found > bytes.length ? 0 : found;
  try {
    await sftp.write(part, bytes, from, (upTo) => onProgress(upTo, bytes.length));
  } catch (error) {
    if (error instanceof SftpRefusal) {
      throw new HoldfastError(
        'unsupported',
        `${destination} takes no more of the copy (${error.message}); make room there, and run the command again to go on`,
      );
    }
    throw error;
  }
  return from;
}

/** A program that runs can be renamed on Windows, and cannot be replaced or removed. */
async function put(sftp: Sftp, part: string, file: string): Promise<void> {
  await sftp.makeFolders(file.slice(0, file.lastIndexOf('/')));
  if ((await sftp.size(file)) !== undefined) {
    await sftp.rename(file, await freeName(sftp, file));
  }
  await sftp.rename(part, file);
}

/** Those of earlier deployments are removed on the way, unless a daemon still runs one. */
async function freeName(sftp: Sftp, file: string): Promise<string> {
  for (let count = 1; ; count++) {
    const name = file.replace(/\.exe$/, `.old-${count}.exe`);
    await sftp.remove(name).catch(() => {});
    if ((await sftp.size(name)) === undefined) {
      return name;
    }
  }
}

function runThere(host: RemoteHost, words: readonly string[]): Promise<RemoteResult> {
  const { destination, sshCommand, environment: env } = host;
  return runRemote({ destination, sshCommand, env, mostBytes, words, spell: wordOfBoth });
}

/** @throws HoldfastError for a word that cmd.exe and PowerShell do not read alike */
function wordOfBoth(word: string): string {
  if (/^[\w@+=:,.\\/~-]+$/.test(word)) {
    return word;
  }
  if (word === '' || /["%$`!^\r\n]|\\$/.test(word)) {
    throw new HoldfastError('unsupported', `${JSON.stringify(word)} cannot be told to the shell of a Windows host`);
  }
  return `"${word}"`;
}
