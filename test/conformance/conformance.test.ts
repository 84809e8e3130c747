/** Plays the recorded exchanges of the wire contract (cases/) against the program, byte for byte, in every generation. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { program, startScript } from '../support/holdfast.ts';
import { sayWhySkipped } from '../support/needs.ts';
import { findMarked, signalProcess } from '../support/processes.ts';

const folder = import.meta.dirname;
/** Daemons side by side: many cases wait for something. */
const jobs = 3;
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

/** What is played of an area by one client; all cases when there are no names. */
interface CaseRun {
  readonly generation: Generation;
  readonly program: string;
  readonly areas: readonly CaseFile[];
  readonly flags?: readonly string[];
  /** `NAME=value` in the environment of everything that is started. */
  readonly mark?: string;
  readonly leaveOut?: readonly string[];
}

/**
 * All areas are played in one run, because daemons are shared between cases and starting them is what costs most. An area that has
 * failed is played by itself when its test is tried again.
 */
class Areas {
  readonly #run: CaseRun;
  readonly #failed = new Set<string>();
  #all: Promise<string> | undefined;

  constructor(run: CaseRun) {
    this.#run = run;
  }

  async expectPassed(area: string): Promise<void> {
    expect(python, missing).toBeDefined();
    this.#all ??= play(this.#run);
    const output = await (this.#failed.has(area)
      ? play({ ...this.#run, areas: this.#run.areas.filter((each) => each.area === area) })
      : this.#all);
    const [, passed = '0', failed] =
      new RegExp(`^area ${literally(area)}: (\\d+) passed, (\\d+) failed$`, 'm').exec(output) ?? [];
    if (Number(passed) === 0 || failed !== '0') {
      this.#failed.add(area);
      // Each failure begins a line with FAIL and names its area; what is indented belongs to it.
      const failures = output.match(/^FAIL .*(?:\n .*)*/gm)?.filter((text) => text.includes(`[${area}, `)) ?? [];
      expect.fail(failures.length > 0 ? failures.join('\n') : output);
    }
  }
}

describe.each(generations)('a client of generation %s gets the bytes of the contract', (generation) => {
  const wanted: readonly string[] = ['both', ...covers[generation]];
  const played = areas.filter(({ cases }) =>
    cases.some(({ generation: of = 'both', also }) => wanted.includes(of) || also?.includes(generation)),
  );
  // The newest is played from source, whose types the runtime strips.
  const run = new Areas({ generation, program: generation === 'N2' ? startScript : program, areas: played });
  test.skipIf(skipped).each(played.map(({ area }) => area))('%s', { timeout: 15 * minutes }, (area) =>
    run.expectPassed(area),
  );
});

/** With `durable` the end of the daemon is not the end of its children, which is what it is for. */
const otherWhenDurable = ['shutdown-ends-children'];

describe.each(['S', 'N', 'N2'] as const)(
  'with -durable a client of generation %s gets the same bytes',
  (generation) => {
    const played = areas.filter(({ area }) => /^(process\.|lifecycle$|tilde$)/.test(area));
    const mark = `CASES_WITH_KEEPERS=${randomBytes(8).toString('hex')}`;
    const run = new Areas({
      generation,
      program,
      areas: played,
      flags: ['-durable'],
      mark,
      leaveOut: otherWhenDurable,
    });
    // Keepers outlive what the cases end.
    afterAll(() => {
      for (const left of findMarked(mark)) {
        signalProcess(left, 'SIGKILL');
      }
    });
    test.skipIf(skipped).each(played.map(({ area }) => area))('%s', { timeout: 15 * minutes }, (area) =>
      run.expectPassed(area),
    );
  },
);

/** Names have letters, digits, hyphens and dots. */
const literally = (name: string): string => name.replaceAll('.', '\\.');

/** @returns what the run has printed */
async function play(run: CaseRun): Promise<string> {
  const { generation, areas: played, flags = [], mark = '', leaveOut = [] } = run;
  const names = played.flatMap(({ cases }) => cases.map(({ name }) => name)).filter((name) => !leaveOut.includes(name));
  const exactly = `^(${names.map(literally).join('|')})$`;
  const args = [join(folder, 'conform'), '--generation', generation, '--filter', exactly, '--jobs', String(jobs)];
  const [name = '', value = ''] = mark.split('=');
  const runner = spawn(python as string, [...args, '--', run.program, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...(mark === '' ? {} : { [name]: value }) },
  });
  const output: Buffer[] = [];
  runner.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  runner.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  await new Promise((resolve, reject) => {
    runner.on('error', reject).on('close', resolve);
  });
  return Buffer.concat(output).toString();
}
