/** Stand-in programs that keep the environment they were given, as their kernel has it. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface Recorder {
  /** Folder of the stand-ins, for PATH. */
  readonly bin: string;
  /**
   * A stand-in in that folder.
   * @param script the shell script that goes on after the environment was kept
   * @returns its text, for a program that is put elsewhere
   */
  program(name: string, script: string): string;
  /** What the runs of one stand-in were given so far: the entries of each run. */
  of(name: string): string[][];
}

/** Gone when the test ends. */
export function recordEnvironments(): Recorder {
  const folder = mkdtempSync(join(tmpdir(), 'hf-env-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  return {
    bin,
    program(name, script) {
      mkdirSync(join(folder, name));
      const text = `#!/bin/sh\ncat "/proc/$$/environ" > '${folder}/${name}/'$$\n${script}\n`;
      writeFileSync(join(bin, name), text);
      chmodSync(join(bin, name), 0o755);
      return text;
    },
    of(name) {
      return readdirSync(join(folder, name)).map((run) =>
        readFileSync(join(folder, name, run), 'latin1')
          .split('\0')
          .slice(0, -1),
      );
    },
  };
}
