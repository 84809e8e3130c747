/**
 * The managed launcher: a program of the host's administrator that starts the agent CLI in place of whoever asked for it
 * (spec generation-n2.md §3.5). Here are the tests that each launcher must pass, whether it comes from the settings of the
 * host or from a request.
 */
import { existsSync } from 'node:fs';
import { isExecutableFile } from '../../platform/common/executable-file.ts';
import { SystemCallError } from '../../platform/errors.ts';
import type { Paths } from '../../platform/paths.ts';

/** What makes the CLI itself look for a launcher; one that is started through a launcher must not. */
export const wrapperVariable = 'CLAUDE_CODE_PROCESS_WRAPPER';

/** Endings of scripts that the SDK around the CLI would run by its own runtime; lower case only. */
const scriptEndings = ['.js', '.mjs', '.ts', '.tsx', '.jsx'];

export const noLauncherReason =
  'the value is set but contains no launcher \u2014 unset it to run without one, or set it to the absolute path of your launcher';

/**
 * Why these words cannot be put in front of the CLI; `undefined`: they can. The tests that need no disk come first.
 * @param cliPath is compared as text
 */
export function launcherFault(
  [argv0]: readonly string[],
  cliPath: string,
  paths: Pick<Paths, 'isAbsolute'>,
): string | undefined {
  if (argv0 === undefined || argv0 === '') {
    return noLauncherReason;
  }
  if (argv0 === cliPath) {
    return `launcher ${quoted(argv0)} is Claude Code's own path`;
  }
  if (!paths.isAbsolute(argv0)) {
    return 'the launcher must be an absolute path, not a bare name resolved via PATH';
  }
  if (scriptEndings.some((ending) => argv0.endsWith(ending))) {
    return `launcher ${quoted(argv0)} is a script the SDK would run in place of Claude Code`;
  }
  return isExecutableFile(argv0)
    ? undefined
    : `launcher ${quoted(argv0)} does not exist or is not an executable regular file`;
}

const longestQuoted = 256;

/** A long name is cut at the last whole character within 256 bytes. */
function quoted(name: string): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= longestQuoted) {
    return `\`${name}\``;
  }
  let end = longestQuoted;
  // A byte 10xxxxxx continues a character, so the cut must not be in front of it.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end--;
  }
  return `\`${bytes.toString('utf8', 0, end)}\u2026\``;
}

const noInterpreter =
  'its interpreter was not found (the program on its #! line, or the loader of an ELF binary; a script saved with Windows CRLF line endings fails this way)';

/** Why a launcher did not start, in the contract's words; `undefined`: the failure is not about the launcher. */
export function launcherStartFault(argv0: string, error: unknown): string | undefined {
  const prefix = `fork/exec ${argv0}: `;
  if (!(error instanceof SystemCallError) || !error.message.startsWith(prefix)) {
    return undefined;
  }
  // The kernel has one word for a program that is missing and for one whose interpreter is.
  return error.code === 'ENOENT' && existsSync(argv0) ? noInterpreter : error.message.slice(prefix.length);
}
