/** The case files of test/conformance, and what of them is read differently on Windows. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ArchiveEntry } from './archive.ts';

export type Expected = string | { readonly any_of: readonly string[] };
// biome-ignore lint/suspicious/noExplicitAny: the cases are data with many optional keys; the player tests what it uses.
export type Step = any;

export const generations = ['S', 'N', 'N2'] as const;
export type Generation = (typeof generations)[number];

/** Generations whose cases are played, besides those of all. */
const covers: Readonly<Record<Generation, readonly string[]>> = { S: ['S'], N: ['N'], N2: ['N', 'N2'] };

/** Whether the case binds the generation. */
export function isOf(one: Case, generation: Generation): boolean {
  return ['both', ...covers[generation]].includes(one.generation) && one.except?.includes(generation) !== true;
}

export interface Case {
  readonly area: string;
  readonly name: string;
  readonly generation: Generation | 'both';
  /** Generations whose own rules replace this case. */
  readonly except?: readonly Generation[];
  readonly platform: 'any' | 'posix' | 'linux' | 'darwin' | 'windows';
  readonly needs?: { readonly feature?: string; readonly method?: string; readonly git?: string };
  readonly daemon?: {
    readonly flags?: readonly string[];
    readonly env?: Readonly<Record<string, string | null>>;
    readonly token_text?: string;
    readonly token_via?: 'stdin';
  };
  readonly private?: boolean;
  readonly before_start?: readonly FixtureStep[];
  readonly fixture?: readonly FixtureStep[];
  readonly script: readonly Step[];
  readonly ignore_streams?: readonly string[];
}

export interface FixtureStep {
  readonly write?: string;
  readonly text?: string;
  readonly b64?: string;
  readonly mkdir?: string;
  readonly remove?: string;
  readonly targz?: string;
  readonly entries?: readonly ArchiveEntry[];
}

const folder = fileURLToPath(new URL('../../conformance/cases/', import.meta.url));

export function readCases(): Case[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => {
      const { area, cases } = JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as { area: string; cases: Case[] };
      return cases.map((one) => ({ ...one, area }));
    });
}

/**
 * An expected frame as the same pages have it for Windows: no signals, no mode bits, no worktrees elsewhere (spec
 * platform.md §3, files.md §3, wire.md §7.3); the system's sentences, `CreateFile`, and backslashes in every path that was
 * cleaned (spec files.md §2).
 */
export function windowsReading(text: string, area: string): string {
  const read = text
    .replace(/"exitCode":-1(?:,"signal":"SIG[A-Z]+")?/, '"exitCode":1')
    .replace('"git.worktree.external_root",', '')
    .replace(/"mode":"(.)[^"]+"/, (_, kind) => (kind === 'd' ? '"mode":"drwxrwxrwx"' : '"mode":"-rw-rw-rw-"'))
    .replaceAll('executable file not found in $PATH', 'executable file not found in %PATH%')
    .replace(/"(error|message)":"((?:chdir [^"]*?: )?)stat (?=[^"]*: )/, '"$1":"$2CreateFile ')
    .replace(
      /: no such file or directory"/,
      `: {{RE:(?:The system cannot find the (?:file|path) specified|${invalidName})\\.}}"`,
    )
    .replace(/: exec format error"/, ': %1 is not a valid Win32 application."')
    .replace(/: (?:file name too long|not a directory)"(?=\})/, (reason) =>
      reason.includes('too long') || text.includes('f.txt/:') ? `: ${invalidName}."` : reason,
    )
    .replace(/"path":"\{\{TMP\}\}[^"]*"/g, backslashed)
    .replace(/(?<=(?:create|parent) [^"]*: (?:open|mkdir) )\{\{TMP\}\}[^":]*/, backslashed);
  if (area === 'n2') {
    return withoutLauncher(read);
  }
  return area === 'tilde' ? read.replace(/(?<=(?:open|chdir|CreateFile) )\{\{TMP\}\}[^":]*/g, backslashed) : read;
}

/**
 * No file of managed settings is read and no launcher is started (spec generation-n2.md §3.2, §4 step 3); unpacking has the
 * system's separators and its own words for a file in the way (§8.2).
 */
function withoutLauncher(text: string): string {
  const refused =
    '"code":-32004,"message":"the managed launcher cannot be used: a launcher cannot be applied on a Windows host"';
  return text
    .replace(/"result":\{"status":"(?:usable|unusable|unreadable)".*\}(?=\}$)/s, '"result":{"status":"none"}')
    .replace(/"code":-3200[45],"message":"[^"]*"/, refused)
    .replace(/"code":-32602,"message":"command must be an absolute path when a launcher is given"/, refused)
    .replace(/(?<=: (?:openat|mkdirat) )[^":]*(?=: )/, (path) => path.replaceAll('/', '\\\\'))
    .replace(/(?<=create [^"]*: openat [^"]*: )file exists/, 'is a directory')
    .replace(/(?<=: openat [^"]*: )not a directory/, 'The system cannot find the path specified.')
    .replace(/(?<=: mkdirat [^"]*: )file exists/, 'Cannot create a file when that file already exists.');
}

const invalidName = 'The filename, directory name, or volume label syntax is incorrect';

function backslashed(path: string): string {
  return path.replace('{{TMP}}', '{{WINDOWS_TMP}}').replaceAll('/', '\\\\');
}
