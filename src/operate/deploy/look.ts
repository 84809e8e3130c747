/** One quick look at another host: its system, its C library, and where a program has to lie to be found by ssh. */
import { HoldfastError } from '../../client/index.ts';
import type { Executable, TargetName } from './executable.ts';
import { isAtLeast } from './least-glibc.ts';
import { type RemoteHost, runScript, type Told } from './remote-script.ts';
import type { Place } from './way.ts';

export interface HostFacts {
  /** In the words of `uname`: `Linux`, `Darwin`. */
  readonly system: string;
  readonly processor: string;
  /** `glibc 2.36`, `musl`, or empty where nobody knows. */
  readonly libc: string;
  /** Name of the executable for it; `undefined`: none is made for such a host. */
  readonly target: TargetName | undefined;
  readonly home: string;
  /** Of a login that is not interactive, in order; `ssh host holdfast` looks there. */
  readonly path: readonly string[];
  /** Those of `path` in which this user may make files. */
  readonly writable: readonly string[];
  /** The `holdfast` that is found there now, in full; empty: none. */
  readonly found: string;
  /** File of the login shell. */
  readonly shell: string;
  /** What a login prints although it has no terminal; a client would take it for the daemon's words. Empty: nothing. */
  readonly noise: string;
}

const statements = [
  'say system "$(uname -s)"',
  'say processor "$(uname -m)"',
  'L=$(getconf GNU_LIBC_VERSION 2>/dev/null)',
  '[ -n "$L" ] || L=$(ldd --version 2>&1 | head -n 1)',
  'for f in /lib/ld-musl-*; do [ -e "$f" ] && [ -z "$L" ] && L=musl; done',
  'say libc "$L"',
  'say home "$HOME"',
  'say path "$PATH"',
  'say found "$(command -v holdfast)"',
  'say shell "$SHELL"',
  'W=',
  'IFS=:; for d in $PATH; do [ -d "$d" ] && [ -w "$d" ] && W="$W:$d"; done; unset IFS',
  'say writable "$W"',
];

/** @throws HoldfastError `refused` when the host cannot be reached or runs no commands for us */
export async function lookAt(host: RemoteHost): Promise<HostFacts> {
  const told = await runScript(host, statements, []);
  const text = (name: string): string => told.get(name) ?? '';
  const folders = (name: string): string[] => text(name).split(':').filter(isAbsolute);
  return {
    system: text('system'),
    processor: text('processor'),
    libc: libcOf(told),
    target: targetsByUname[`${text('system')} ${text('processor')}`],
    home: text('home'),
    path: folders('path'),
    writable: folders('writable'),
    found: isAbsolute(text('found')) ? text('found') : '',
    shell: text('shell'),
    noise: text('noise'),
  };
}

function isAbsolute(path: string): boolean {
  return path.startsWith('/');
}

/** `getconf` says `glibc 2.36`, and ldd `ldd (Debian GLIBC 2.36-9) 2.36` or `musl libc (x86_64)`. */
function libcOf(told: Told): string {
  const text = told.get('libc') ?? '';
  const version = /(?:glibc|GLIBC|GNU libc).* (\d+\.\d+)$/.exec(text)?.[1];
  return version !== undefined ? `glibc ${version}` : /musl/i.test(text) ? 'musl' : '';
}

const targetsByUname: Readonly<Record<string, TargetName>> = {
  'Linux x86_64': 'linux-x64',
  'Linux amd64': 'linux-x64',
  'Linux aarch64': 'linux-arm64',
  'Linux arm64': 'linux-arm64',
  'Darwin arm64': 'darwin-arm64',
};

/** @throws HoldfastError `unsupported` for a C library on which the executable cannot run, with both versions */
export function checkLibc(destination: string, { libc }: HostFacts, { path, glibc }: Executable): void {
  if (glibc === undefined) {
    return;
  }
  const found = /^glibc (.*)/.exec(libc)?.[1];
  const isTooOld = found !== undefined && !isAtLeast(found, glibc);
  if (isTooOld || libc === 'musl') {
    const instead = 'use a newer system, or install from source there with a Node.js that was made for it';
    throw new HoldfastError(
      'unsupported',
      `${path} needs glibc ${glibc} or newer; ${destination} has ${libc}; ${instead}`,
    );
  }
}

/** Where the system keeps its own programs, which a package manager would replace. */
const ofTheSystem = /^\/(?:usr\/)?s?bin$/;

/** The folder for the executable. @param asked by the user; it is taken as it is */
export function choosePlace(
  facts: HostFacts,
  asked: string | undefined,
): Pick<Place, 'why' | 'isOnPath'> & { readonly folder: string } {
  const { home, path, writable, found } = facts;
  const place = (folder: string, why: string) => ({ folder, why, isOnPath: path.includes(folder) });
  if (asked !== undefined) {
    return place(asked.replace(/^~(?=\/|$)/, home).replace(/(?<=.)\/+$/, ''), 'as asked for');
  }
  const folderOfFound = found.slice(0, found.lastIndexOf('/'));
  if (found !== '' && writable.includes(folderOfFound)) {
    return place(folderOfFound, 'the one there is lies there');
  }
  const own = path.find((folder) => folder.startsWith(`${home}/`));
  if (own !== undefined) {
    return place(own, 'on the PATH of ssh commands there, and yours');
  }
  const shared = path.find((folder) => writable.includes(folder) && !ofTheSystem.test(folder));
  if (shared !== undefined) {
    return place(shared, 'on the PATH of ssh commands there, and you may write to it');
  }
  return place(`${home}/.local/bin`, 'no folder on the PATH of ssh commands there may be written to');
}

/** What makes the folder one where `ssh host holdfast` looks, by the login shell there. */
export function pathRemedy({ shell }: HostFacts, folder: string): string {
  const name = shell.slice(shell.lastIndexOf('/') + 1);
  const lines: Readonly<Record<string, string>> = {
    fish: `run there once: fish -c "fish_add_path ${folder}"`,
    zsh: `add to ~/.zshenv there: path=(${folder} $path)`,
    csh: `add to ~/.cshrc there: set path = (${folder} $path)`,
    tcsh: `add to ~/.tcshrc there: set path = (${folder} $path)`,
    bash: `put first into ~/.bashrc there, before any line that ends it for logins without a terminal: PATH=${folder}:$PATH`,
  };
  return (
    lines[name] ??
    `let the PATH of logins without a terminal have it: SetEnv or PermitUserEnvironment of sshd_config(5)`
  );
}
