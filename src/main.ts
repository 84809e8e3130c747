/**
 * Where the program starts. Importing this file runs it. A driver asks for the version before every connection, so that
 * is answered with next to nothing loaded; all the rest begins in command-line.ts.
 */
import type { HostError } from '../platform/errors.ts';
import { isExecutable, ownWords, programFolder } from './base/own-program.ts';
import { configurationFileNames } from './config/configuration-file-names.ts';
import { printVersion } from './modes/version.ts';

const exitFailed = 1;

// Not by `import`, here and in what this file imports: that would load the streams of files too (docs/performance.md).
const { lstatSync } = process.getBuiltinModule('node:fs');

/** `-version` alone, and no configuration file that might set another text (spec modes.md §11). */
function asksForPlainVersion([word, ...more]: readonly string[]): boolean {
  if ((word !== '-version' && word !== '--version') || more.length > 0) {
    return false;
  }
  const folder = programFolder();
  return configurationFileNames.every(
    (name) => lstatSync(`${folder}/${name}`, { throwIfNoEntry: false }) === undefined,
  );
}

async function main(words: readonly string[]): Promise<number> {
  // For every other start bin/holdfast has seen to it.
  if (isExecutable && (await import('./base/steering-variables.ts')).steersRuntime(process.env, words)) {
    return (await import('./modes/start-again.ts')).startAgain(process.argv.slice(2));
  }
  if (asksForPlainVersion(words)) {
    return printVersion(undefined);
  }
  (await import('./base/late-parts.ts')).loadFileSystemPartsLate();
  const { socketOfKeeper } = await import('./base/start-markers.ts');
  const socketPath = socketOfKeeper(words, process.env);
  if (socketPath !== undefined) {
    return (await import('./modes/keeper.ts')).runKeeperMode(socketPath, process.env);
  }
  const { run } = await import('./command-line.ts');
  return run(words, process.env);
}

/** A failure nobody foresaw: one line that can be reported, with the place in the code. */
async function unexpected(error: unknown): Promise<number> {
  const [{ printable }, { writeWhole }] = await Promise.all([
    import('./base/printable.ts'),
    import('./base/standard-output.ts'),
  ]);
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'HostError') {
    const { remedy } = error as HostError;
    writeWhole(2, `holdfast: ${printable(remedy === '' ? text : `${text}; ${remedy}`)}\n`);
    return exitFailed;
  }
  const place = error instanceof Error ? error.stack?.split('\n').find((line) => /^\s+at /.test(line)) : undefined;
  writeWhole(2, `holdfast: ${printable(text)}${place === undefined ? '' : ` (${printable(place.trim())})`}\n`);
  return exitFailed;
}

process.on('uncaughtException', async (error) => process.exit(await unexpected(error)));
main(ownWords())
  .catch(unexpected)
  .then((exitCode) => process.exit(exitCode));
