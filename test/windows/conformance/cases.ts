/** The case files of test/conformance, and what of them is read differently on Windows. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ArchiveEntry } from './archive.ts';

export type Expected = string | { readonly any_of: readonly string[] };
// biome-ignore lint/suspicious/noExplicitAny: the cases are data with many optional keys; the player tests what it uses.
export type Step = any;

export interface Case {
  readonly area: string;
  readonly name: string;
  readonly generation: 'S' | 'N' | 'both';
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
  return area === 'tilde' ? read.replace(/(?<=(?:open|chdir|CreateFile) )\{\{TMP\}\}[^":]*/g, backslashed) : read;
}

const invalidName = 'The filename, directory name, or volume label syntax is incorrect';

function backslashed(path: string): string {
  return path.replace('{{TMP}}', '{{WINDOWS_TMP}}').replaceAll('/', '\\\\');
}
