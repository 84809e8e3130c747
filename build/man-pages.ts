/** The man pages, from the table of verbs and the table of options: `npm run build:man` writes docs/man/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { version } from '../src/base/version.ts';
import { configurationFileNames } from '../src/config/configuration-file-names.ts';
import { type Option, type OptionMode, type OptionName, optionNames, options } from '../src/config/options.ts';
import type { CommandRow } from '../src/operate/commands/row.ts';
import { commandNames, commands } from '../src/operate/commands/table.ts';

export const manFolder = join(import.meta.dirname, '..', 'docs', 'man');

/** Every page by the name of its file. */
export function manPages(): Readonly<Record<string, string>> {
  return { 'holdfast.1': programPage(), 'holdfast.conf.5': configurationPage() };
}

// ---- holdfast(1)

function programPage(): string {
  return page('HOLDFAST', '1', 'User Commands', [
    section('NAME', ['holdfast \\- hold remote agent sessions fast']),
    section('SYNOPSIS', [
      '.B holdfast',
      '.I verb',
      '.RI [ options ]',
      '.br',
      '.B holdfast',
      '.RI \\- mode',
      '.RI [ flags ]',
    ]),
    section('DESCRIPTION', [
      text(
        'Holdfast is a small daemon that holds remote agent sessions: it runs on the host, starts a coding agent or any program for a client, and keeps the process and its output while the client comes and goes. The verbs are for people; the modes and flags are for the programs that drive the daemon.',
      ),
    ]),
    section(
      'VERBS',
      commandNames.flatMap((name) => verbLines(`holdfast ${name}`, commands[name])),
    ),
    ...modeSections(),
    section('FILES', [
      ...item('~/.claude/remote/', 'the usual run directory: socket, token, log'),
      ...item('holdfast.conf', 'settings, beside the program; see holdfast.conf(5)'),
    ]),
    section('SEE ALSO', ['.BR holdfast.conf (5),', '.BR ssh (1)']),
  ]);
}

function verbLines(title: string, row: CommandRow): string[] {
  const usage = row.usage ?? ['[options]', ...row.arguments.map(({ name }) => name)].join(' ');
  return [
    `.SS ${roff(title)}`,
    text(`${sentence(row.summary)} Usage:`),
    '.PP',
    '.RS 4',
    text(`${title} ${row.subcommands === undefined ? usage : 'verb'}`),
    '.RE',
    ...row.arguments.flatMap(({ name, help }) => item(name, help)),
    ...row.options.flatMap(({ flags, help }) => item(flags, help)),
    ...(row.notes === undefined ? [] : ['.PP', text(row.notes)]),
    '.PP',
    row.examples.length > 1 ? 'Examples:' : 'Example:',
    ...row.examples.flatMap(({ line, what }) => ['.PP', '.RS 4', '.nf', roff(`# ${what}`), roff(line), '.fi', '.RE']),
    '.PP',
    'Exit codes:',
    ...Object.entries(row.exits).flatMap(([code, meaning]) => item(code, meaning)),
    ...Object.entries(row.subcommands ?? {}).flatMap(([name, sub]) => verbLines(`${title} ${name}`, sub)),
  ];
}

const headings: Readonly<Record<OptionMode, string>> = {
  select: 'MODES',
  all: 'FLAGS OF EVERY MODE',
  serve: 'FLAGS OF \\-serve',
  install: 'FLAGS OF \\-install',
  version: 'FLAGS OF \\-version',
};

function modeSections(): string[] {
  return Object.entries(headings).flatMap(([mode, heading]) => {
    const names = optionNames.filter((name) => options[name].mode === mode && options[name].flag);
    return names.length === 0
      ? []
      : [
          section(
            heading,
            names.flatMap((name) => item(`-${spelled(name)}`, helpOf(name))),
          ),
        ];
  });
}

// ---- holdfast.conf(5)

function configurationPage(): string {
  const names = optionNames.filter((name) => options[name].inFile);
  return page('HOLDFAST.CONF', '5', 'File Formats', [
    section('NAME', ['holdfast.conf \\- settings of holdfast']),
    section('SYNOPSIS', [text(configurationFileNames.join(', '))]),
    section('DESCRIPTION', [
      text(
        'Each line is "key = value"; empty lines and lines that begin with # say nothing. The file lies beside the program (bin/). A key has the name of the flag without the dash, and the flag wins. "holdfast config" shows every setting in force and where it comes from; "holdfast config check" tells what is wrong with a file.',
      ),
    ]),
    section(
      'KEYS',
      names.flatMap((name) => item(spelled(name), helpOf(name))),
    ),
    section('EXAMPLE', ['.nf', 'wire\\-profile = next', 'detached\\-ttl = 12h', '.fi']),
    section('SEE ALSO', ['.BR holdfast (1)']),
  ]);
}

function spelled(name: OptionName): string {
  const { kind }: Option<unknown> = options[name];
  return kind.placeholder === '' ? name : `${name} <${kind.placeholder}>`;
}

function helpOf(name: OptionName): string {
  const { help, initial }: Option<unknown> = options[name];
  return typeof initial === 'number' && initial > 0 ? `${help} (default ${initial})` : help;
}

// ---- roff (man(7))

function page(name: string, number: string, title: string, sections: readonly string[]): string {
  return [
    '.\\" Made by "npm run build:man" from the table of verbs and the table of options.',
    `.TH ${name} ${number} "" "holdfast ${version}" "${title}"`,
    ...sections,
    '',
  ].join('\n');
}

function section(heading: string, lines: readonly string[]): string {
  return [`.SH ${heading}`, ...lines].join('\n');
}

function item(term: string, meaning: string): string[] {
  return ['.TP', `.B ${roff(term)}`, text(meaning)];
}

function text(words: string): string {
  return roff(words);
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

/** Nothing in it means anything to roff; a dash is one that can be copied to a command line. */
function roff(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replace(/^(['.])/, '\\&$1');
}

if (process.argv[1] === import.meta.filename) {
  mkdirSync(manFolder, { recursive: true });
  for (const [name, content] of Object.entries(manPages())) {
    writeFileSync(join(manFolder, name), content);
  }
}
