/** Plays the recorded exchanges of the wire contract (cases/) against the program, byte for byte, in every generation. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { program } from '../support/holdfast.ts';
import { sayWhySkipped } from '../support/needs.ts';
import { findMarked, signalProcess } from '../support/processes.ts';

const folder = import.meta.dirname;
const jobs = 2;
const minutes = 60_000;

interface Case {
  readonly name: string;
  readonly generation?: 'S' | 'N' | 'N2' | 'both';
  readonly also?: readonly Generation[];
}

const generations = ['S', 'N', 'N+', 'N2'] as const;
type Generation = (typeof generations)[number];
/** Generations whose cases are played, besides those of all (the table of the same name in `conform`). */
const covers: Readonly<Record<Generation, readonly string[]>> = { S: ['S'], N: ['N'], 'N+': ['N'], N2: ['N', 'N2'] };

interface CaseFile {
  readonly area: string;
  readonly cases: readonly Case[];
}

const areas: CaseFile[] = readdirSync(join(folder, 'cases'))
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(folder, 'cases', name), 'utf8')));

const python = ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11'].find(
  (name) => spawnSync(name, ['-c', 'import sys; sys.exit(sys.version_info < (3, 11))']).status === 0,
);
const missing =
  'python3 >= 3.11 on PATH: "apt-get install python3" (Debian 12 and later), ' +
  '"dnf install python3.12", "brew install python" or https://www.python.org/downloads/';
// On a developer's machine the other tests still run; a CI run without these cases has shown nothing.
const skipped = python === undefined && process.env.CI !== 'true';
if (skipped) {
  sayWhySkipped('every case of the wire conformance', missing);
}

describe.each(generations)('a client of generation %s gets the bytes of the contract', (generation) => {
  for (const { area, cases } of areas) {
    const wanted: readonly string[] = ['both', ...covers[generation]];
    if (cases.some(({ generation: of = 'both', also }) => wanted.includes(of) || also?.includes(generation))) {
      test.skipIf(skipped)(area, { timeout: 5 * minutes }, async () => {
        expect(python, missing).toBeDefined();
        const result = await runCases(generation, area);
        if (result.code !== 0) {
          expect.fail(result.output);
        }
        expect(result.output).toMatch(/^[1-9]\d* passed, 0 failed$/m);
      });
    }
  }
});

/** With `durable` the end of the daemon is not the end of its children, which is what it is for. */
const otherWhenDurable = ['shutdown-ends-children'];

describe.each(['S', 'N', 'N2'] as const)(
  'with -durable a client of generation %s gets the same bytes',
  (generation) => {
    for (const { area, cases } of areas.filter(({ area: name }) => /^(process\.|lifecycle$|tilde$)/.test(name))) {
      const names = cases.map(({ name }) => name).filter((name) => !otherWhenDurable.includes(name));
      test.skipIf(skipped)(area, { timeout: 5 * minutes }, async () => {
        const mark = `CASES_WITH_KEEPERS=${randomBytes(8).toString('hex')}`;
        try {
          const result = await runCases(generation, area, { names, flags: ['-durable'], mark });
          if (result.code !== 0) {
            expect.fail(result.output);
          }
          expect(result.output).toMatch(/^[1-9]\d* passed, 0 failed$/m);
        } finally {
          // Keepers outlive what the cases end.
          for (const left of findMarked(mark)) {
            signalProcess(left, 'SIGKILL');
          }
        }
      });
    }
  },
);

interface CaseRun {
  /** Cases of the area; all of them when omitted. */
  readonly names?: readonly string[];
  readonly flags?: readonly string[];
  /** `NAME=value` in the environment of everything that is started. */
  readonly mark?: string;
}

async function runCases(
  generation: string,
  area: string,
  { names, flags = [], mark = '' }: CaseRun = {},
): Promise<{ code: number | null; output: string }> {
  const exactly = `^(${(names ?? [area]).map((name) => name.replaceAll('.', '\\.')).join('|')})$`;
  const args = [join(folder, 'conform'), '--generation', generation, '--filter', exactly, '--jobs', String(jobs)];
  const [name = '', value = ''] = mark.split('=');
  const runner = spawn(python as string, [...args, '--', program, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...(mark === '' ? {} : { [name]: value }) },
  });
  const output: Buffer[] = [];
  runner.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  runner.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  const code = await new Promise<number | null>((resolve, reject) => {
    runner.on('error', reject).on('close', resolve);
  });
  return { code, output: Buffer.concat(output).toString() };
}
