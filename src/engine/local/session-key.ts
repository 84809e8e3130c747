/** Which spawns mean the same agent session (spec process.md §3.6). */

/** `undefined` for a spawn that is no agent session. */
export function sessionKey(args: readonly string[]): string | undefined {
  const isAgent = args.some(
    (word) => word === '--input-format=stream-json' || word === '--output-format=stream-json' || word === 'stream-json',
  );
  if (!isAgent) {
    return undefined;
  }
  return (
    optionValue(args, '--session-id') ?? (args.includes('--fork-session') ? undefined : optionValue(args, '--resume'))
  );
}

function optionValue(args: readonly string[], option: string): string | undefined {
  for (const [index, word] of args.entries()) {
    const value =
      word === option ? args[index + 1] : word.startsWith(`${option}=`) ? word.slice(option.length + 1) : undefined;
    if (value !== undefined && value !== '' && !value.startsWith('-')) {
      return value;
    }
  }
  return undefined;
}
