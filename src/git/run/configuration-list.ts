/** The configuration in force for a call, as `git config -z --list` prints it. */

/** They are bytes, because the middle part of a key may be any bytes. */
export interface ConfigEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Reads the output of `git config -z --list`. */
export function parseConfigList(output: Buffer): ConfigEntry[] {
  const entries: ConfigEntry[] = [];
  for (let at = 0; at < output.length; ) {
    const found = output.indexOf(0, at);
    const end = found < 0 ? output.length : found;
    const record = output.subarray(at, end);
    const newline = record.indexOf(0x0a);
    // A key without `=` has no newline: it is a boolean that is true.
    entries.push(
      newline < 0
        ? { key: record, value: Buffer.from('true') }
        : { key: record.subarray(0, newline), value: record.subarray(newline + 1) },
    );
    at = end + 1;
  }
  return entries;
}
