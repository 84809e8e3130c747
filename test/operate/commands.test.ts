/** The command table: help, man pages and completions say the same of every verb. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { manFolder, manPages } from '../../build/man-pages.ts';
import { loadClientPlatform } from '../../platform/load.ts';
import { createPlatform } from '../../platform/posix/index.ts';
import type { CommandRow } from '../../src/operate/commands/row.ts';
import { type CommandName, commandNames, commands } from '../../src/operate/commands/table.ts';
import { verbNames } from '../../src/operate/verb-names.ts';
import { runVerb } from '../../src/operate/verbs.ts';
import { installed, testNeeding } from '../support/needs.ts';

async function verb(words: readonly string[]) {
  let [output, complaint] = ['', ''];
  const [name = 'help', ...rest] = words;
  const code = await runVerb(name as CommandName, rest, {
    ...{ environment: {}, programName: 'holdfast', executableDirectory: '/nowhere' },
    ...{ platform: async () => createPlatform(), clientPlatform: () => loadClientPlatform() },
    print: (text) => {
      output += text;
    },
    complain: (text) => {
      complaint += text;
    },
  });
  return { code, output, complaint };
}

const rows: readonly (readonly [string, CommandRow])[] = commandNames.flatMap((name) => {
  const row: CommandRow = commands[name];
  const below = Object.entries(row.subcommands ?? {}).map(([sub, each]) => [`${name} ${sub}`, each] as const);
  return [[name, row] as const, ...below];
});

test('an empty path, as a variable that is not set gives it, is told as one, and nobody is looked for elsewhere', async () => {
  for (const name of ['ps', 'status', 'token', 'release']) {
    const { code, complaint } = await verb([name, '--socket', '']);
    expect({ name, code }).toEqual({ name, code: 2 });
    expect(complaint).toContain("argument '' is invalid. it is empty; leave the option out for the default");
  }
});

test('a first word is a verb when the table has it', () => {
  expect([...verbNames].sort()).toEqual([...commandNames, 'help'].sort());
});

describe.each(rows)('holdfast %s', (name, row) => {
  test('--help tells its arguments, options, an example and every exit code, in 80 columns', async () => {
    const { code, output, complaint } = await verb([...name.split(' '), '--help']);
    expect({ code, complaint }).toEqual({ code: 0, complaint: '' });
    for (const text of [...row.options.map(({ flags }) => flags), ...row.examples.map(({ line }) => line)]) {
      expect(output).toContain(text);
    }
    for (const exit of Object.keys(row.exits)) {
      expect(output).toMatch(new RegExp(`^ {2}${exit} `, 'm'));
    }
    const examples = row.examples.map(({ line }) => line);
    const long = output.split('\n').filter((line) => line.length > 80 && !examples.some((each) => line.includes(each)));
    expect(long).toEqual([]);
  });

  test('has an example of its own, and its exit codes are those of the verbs', () => {
    expect(row.examples.length).toBeGreaterThan(0);
    // In a pipe, or behind ssh, it may stand elsewhere than at the beginning.
    expect(row.examples.filter(({ line }) => !line.includes(`holdfast ${name.split(' ')[0]}`))).toEqual([]);
    expect(row.summary).toMatch(/^[a-z].*[^.]$/);
  });

  test('refuses an option that it does not know, in one line', async () => {
    if (row.load === undefined || row.passesThrough === true) {
      return;
    }
    const { code, output, complaint } = await verb([...name.split(' '), ...row.arguments.map(() => 'x'), '--frob']);
    expect({ code, output }).toEqual({ code: 2, output: '' });
    expect(complaint).toBe(`holdfast ${name.split(' ').at(-1)}: unknown option '--frob'\n`);
  });
});

describe('the man pages', () => {
  const pages = manPages();

  test('are those that the tables make: npm run build:man', () => {
    const kept = readdirSync(manFolder).map((name) => [name, readFileSync(join(manFolder, name), 'utf8')]);
    expect(Object.fromEntries(kept)).toEqual(pages);
  });

  test('name every verb with its options', () => {
    const page = pages['holdfast.1'] ?? '';
    const roff = (text: string): string => text.replaceAll('-', '\\-').replaceAll('…', '...');
    for (const [name, row] of rows) {
      expect(page).toContain(`.SS holdfast ${name}\n`);
      for (const { flags } of row.options) {
        expect(page).toContain(`.B ${roff(flags)}\n`);
      }
    }
  });

  testNeeding(installed('man', 'man-db'), installed('groff', 'groff-base'))('are shown without a warning', {}, () => {
    for (const name of Object.keys(pages)) {
      const options = ['--warnings', '-E', 'UTF-8', '-l', join(manFolder, name)];
      const script = ['-c', 'man "$@" 2>&1 >/dev/null', 'sh', ...options];
      expect(execFileSync('sh', script, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } })).toBe('');
    }
  });
});
