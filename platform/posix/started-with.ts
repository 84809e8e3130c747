/** What this process was started with. Linux shows it in /proc; elsewhere Node's text is all there is. */
import { readFileSync, readlinkSync } from 'node:fs';
import { rawText } from '../raw-text.ts';
import { noValue, type StartedWith, type Variable } from '../started-with.ts';

/** It stays what it was, so it is read once. */
let own: readonly Variable[] | undefined;

export const startedWith: StartedWith = {
  environment() {
    own ??= environmentOf('self');
    return own ?? nodesEnvironment();
  },

  environmentOfScript(pid) {
    return pid === String(process.ppid) ? environmentOf(pid) : undefined;
  },

  lastWords(count) {
    const words = read('self', 'cmdline') ?? process.argv;
    return count === 0 ? [] : words.slice(-count);
  },

  workingDirectory() {
    try {
      return rawText(readlinkSync('/proc/self/cwd', { encoding: 'buffer' }));
    } catch {
      return undefined;
    }
  },
};

/** A variable as `process.env` has it now, but with its bytes. */
export function ownVariable(name: string): string | undefined {
  const value = process.env[name];
  if (!value?.includes('\ufffd')) {
    return value;
  }
  const given = startedWith.environment().find(([each]) => each === name)?.[1];
  return given === undefined || given.isWellFormed() ? value : given;
}

function environmentOf(process: string): Variable[] | undefined {
  return read(process, 'environ')?.map((entry): Variable => {
    const equals = entry.indexOf('=');
    return equals < 0 ? [entry, noValue] : [entry.slice(0, equals), entry.slice(equals + 1)];
  });
}

/** The strings of a file of /proc, each of which ends with a NUL; `undefined` when there is no such file for us. */
function read(process: string, file: 'environ' | 'cmdline'): string[] | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(`/proc/${process}/${file}`);
  } catch {
    return undefined;
  }
  const strings: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    const stop = end < 0 ? bytes.length : end;
    strings.push(rawText(bytes.subarray(start, stop)));
    start = stop + 1;
  }
  return strings;
}

function nodesEnvironment(): Variable[] {
  return Object.entries(process.env).flatMap(([name, value]): Variable[] =>
    value === undefined ? [] : [[name, value]],
  );
}
