/** The configuration in force for a call, as `git config -z --list` prints it. */

/** One entry of `git config --list`. They are bytes, because the middle part of a key may be any bytes. */
export interface ConfigEntry {
  /** `system`, `global`, `local`, `worktree`, `command`; `undefined` where git does not say it (before 2.26). */
  readonly scope: string | undefined;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Reads the output of `git config -z --list`, with the scopes of `--show-scope` or without. */
export function parseConfigList(output: Buffer, withScopes: boolean): ConfigEntry[] {
  const entries: ConfigEntry[] = [];
  let at = 0;
  while (at < output.length) {
    let scope: string | undefined;
    if (withScopes) {
      const end = endOf(output, 0, at);
      scope = output.toString('latin1', at, end);
      at = end + 1;
    }
    const end = endOf(output, 0, at);
    const record = output.subarray(at, end);
    const newline = record.indexOf(0x0a);
    // A key without `=` has no newline: it is a boolean that is true.
    entries.push(
      newline < 0
        ? { scope, key: record, value: Buffer.from('true') }
        : { scope, key: record.subarray(0, newline), value: record.subarray(newline + 1) },
    );
    at = end + 1;
  }
  return entries;
}

function endOf(output: Buffer, byte: number, from: number): number {
  const found = output.indexOf(byte, from);
  return found < 0 ? output.length : found;
}
