/** The pages name what there is, so that neither can change without the other. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { svgName, svgOf } from '../build/screen-svg.ts';
import { createCounters } from '../src/base/counters.ts';
import { optionNames, options } from '../src/config/options.ts';
import { extensionMethods } from '../src/doors/rpc/methods/all.ts';
import { commandNames } from '../src/operate/commands/table.ts';
import { startDaemon } from './support/daemon.ts';
import { errorTexts } from './tools/error-texts.ts';
import { lasting, OperatorsScene, screensOf } from './tools/operators-scene.ts';
import { connectRaw, type RawConnection } from './tools/raw-connection.ts';
import { pages, root, runnerOf, snippetsOf } from './tools/snippets.ts';

const page = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const packageOf = (name: string) => JSON.parse(page(name));

test('the README has a row for every flag', () => {
  const flags = optionNames.filter((name) => options[name].flag).map((name) => `-${name}`);
  const named = new Set([...page('README.md').matchAll(/`(-[a-z-]+)[^`]*`/g)].map(([, flag]) => flag));
  expect(flags.filter((flag) => !named.has(flag))).toEqual([]);
});

test('the README tells of each flag whether it is a key of the configuration file', () => {
  const rows = [...page('README.md').matchAll(/^\| (`-.*?) \| (yes|) *\| /gm)];
  for (const [, flags = '', inFile] of rows) {
    for (const [, flag = ''] of flags.matchAll(/`-([a-z-]+)/g)) {
      expect
        .soft({ flag, inFile: options[flag as keyof typeof options].inFile })
        .toEqual({ flag, inFile: inFile === 'yes' });
    }
  }
  expect(rows.length).toBeGreaterThan(10);
});

test('the operators can look up every counter', () => {
  const counters = [...page('src/doors/metrics/metrics.ts').matchAll(/name: '(\w+_total)'/g)].map(
    ([, name]) => name ?? '',
  );
  expect(counters).toHaveLength(Object.keys(createCounters()).length);
  expect(counters.filter((name) => !page('docs/operators.md').includes(`\`${name}\``))).toEqual([]);
});

test('every direct dependency has its reason', () => {
  const { dependencies, devDependencies } = packageOf('package.json');
  const { optionalDependencies } = packageOf('runtime/package.json');
  const names = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
  expect(names.filter((name) => !page('docs/dependencies.md').includes(`\`${name}\``))).toEqual([]);
});

test('the README says what is not built yet, and nothing else', () => {
  const refused = [
    ...[...page('src/command-line.ts').matchAll(/notBuilt\('([a-z-]+)'\)/g)],
    ...[...page('src/modes/serve.ts').matchAll(/holdfast: -([a-z-]+) is not built yet/g)],
  ].map(([, name]) => `-${name}`);
  const limits = /^Not built yet, and refused with a message that says so: (.*?)\./m.exec(page('README.md'))?.[1] ?? '';
  expect([...limits.matchAll(/`(-[a-z-]+)`/g)].map(([, flag]) => flag).sort()).toEqual(refused.sort());
});

test('every threat names the tests that stage it, by files and titles that there are', () => {
  const rows = page('docs/security.md')
    .split('\n')
    .filter((line) => /^\| \d/.test(line));
  expect(rows.length).toBeGreaterThan(20);
  for (const row of rows) {
    const shownBy = row.split('|').at(-2) ?? '';
    const named = [...shownBy.matchAll(/`([\w/-]+)` ((?:“[^”]+”(?:, )?)+)/g)];
    expect.soft(named.length, row).toBeGreaterThan(0);
    for (const [, file, titles = ''] of named) {
      const source = page(`test/${file}.test.ts`);
      const all = Array.from(titles.matchAll(/“([^”]+)”/g), ([, title = '']) => title);
      expect.soft({ file, missing: all.filter((title) => !source.includes(title)) }).toEqual({ file, missing: [] });
    }
  }
});

test('every fault names the tests that stage it, by files that there are', () => {
  const rows = [...page('docs/faults.md').matchAll(/^\|[^|]*\|([^|]*)\|/gm)].map(([, staged]) => staged ?? '');
  const named = rows.flatMap((staged) => Array.from(staged.matchAll(/`([a-z][\w-]*\/[\w/-]+)`/g), ([, file]) => file));
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter((file) => !existsSync(join(root, `test/${file}.test.ts`)))).toEqual([]);
});

test('the tests of the faults of durable sessions say in their titles which of them they stage', () => {
  const rows = [...page('docs/faults.md').matchAll(/^\| (\d+)( \(threat\))? [^|]*\|([^|]*)\|/gm)];
  const durable = rows.flatMap(([, number = '', isThreat, staged = '']) =>
    Array.from(staged.matchAll(/`((?:keeper|windows)\/[\w-]+|faults\/paused-processes)`/g), ([, file = '']) => ({
      file,
      wanted: `${isThreat === undefined ? 'fault' : 'threat'} ${number}`,
    })),
  );
  expect(new Set(durable.map(({ wanted }) => wanted))).toEqual(
    new Set(['fault 2', 'fault 3', 'fault 4', 'fault 5', 'fault 6', 'fault 18', 'fault 24', 'threat 16']),
  );
  for (const { file, wanted } of durable) {
    const [word = '', number = ''] = wanted.split(' ');
    const titled = new RegExp(`['\`][^'\`]*\\b${word}s? (?:[\\d, ]|and )*\\b${number}\\b[^'\`]*['\`]`);
    expect
      .soft({ file, wanted, isTitled: titled.test(page(`test/${file}.test.ts`)) })
      .toMatchObject({ isTitled: true });
  }
});

test('every error text of the source is explained', () => {
  const explained = page('docs/errors.md') + page('docs/deploy.md');
  const texts = errorTexts();
  expect(texts.length).toBeGreaterThan(40);
  expect(texts.filter(({ piece }) => !explained.includes(piece))).toEqual([]);
});

test('every shell snippet of the pages is run by a file that there is, or says why not', () => {
  const snippets = pages.flatMap((each) => snippetsOf(each));
  expect(snippets.length).toBeGreaterThan(30);
  const unclear = snippets.flatMap(({ page: its, line, mark }) => {
    const [, how = '', what = ''] = /^(run|run by|not run): (.{4,})$/.exec(mark) ?? [];
    const runner = how === 'run' ? 'test/newcomer/newcomer.test.ts' : how === 'run by' ? what : runnerOf(its);
    const isTold = how === 'not run' || (runner !== undefined && existsSync(join(root, runner)));
    const isKnown = how !== 'run' || ['clone', 'executable'].includes(what);
    return isTold && isKnown ? [] : [`${its}:${line}: ${mark}`];
  });
  expect(unclear).toEqual([]);
});

test.each([
  ['a flag', 11],
  ['a spawn request', 16],
  ['a chunk of output', 13],
])('the way of %s names places that there are, and fewer of them than the %i of before', (what, before) => {
  const [, section = ''] = page('docs/architecture.md').split(`## The way of ${what}\n`);
  const hops = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| \d+\. (.*?) \|/gm)].map(([, hop]) => hop ?? '');
  expect(hops.length).toBeGreaterThan(4);
  expect(hops.length).toBeLessThan(before);
  for (const [, name = '', file = ''] of hops.join('\n').matchAll(/`([\w.#]+)` \(`([\w/.-]+\.ts)`\)/g)) {
    const path = ['', 'src/', 'platform/'].map((folder) => folder + file).find((each) => existsSync(join(root, each)));
    expect(path, file).toBeDefined();
    expect(page(path ?? '').includes(name.split('.').at(-1) ?? ''), `${name} in ${file}`).toBe(true);
  }
});

test('what a page leads to is there', () => {
  const dead = pages.flatMap((name) =>
    [...page(name).matchAll(/\]\(((?!https?:)[^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = '']) => join(root, name, '..', target))
      .filter((target) => !existsSync(target))
      .map((target) => `${name} -> ${target.slice(root.length + 1)}`),
  );
  expect(dead).toEqual([]);
});

test('every extension is shown in an exchange', () => {
  const shown = new Set(
    [...page('docs/extensions.md').matchAll(/"method":"(holdfast\.\w+)"/g)].map(([, name]) => name),
  );
  expect(extensionMethods.map(({ name }) => name).filter((name) => !shown.has(name))).toEqual([]);
});

test('the exchanges of the page about extensions are what a daemon says', async () => {
  const exchanges = [...page('docs/extensions.md').matchAll(/^```exchange\n(.*?)^```/gms)].map(([, text = '']) => text);
  expect(exchanges.length).toBeGreaterThan(6);
  await using daemon = await startDaemon();
  for (const text of exchanges) {
    const speakers = new Map<string, { readonly client: RawConnection; read: number }>();
    for (const [, name = '', direction, line = ''] of text.matchAll(/^(\w+) ([<>]) (.*)$/gm)) {
      const speaker = speakers.get(name) ?? { client: await connectRaw(daemon), read: 0 };
      speakers.set(name, speaker);
      const { client } = speaker;
      if (direction === '>') {
        client.sendLine(line.replace(/\}$/, `,"auth":"${daemon.token}"}`));
      } else {
        const place = speaker.read++;
        const came = await client.waitFor(() => client.lines[place], line);
        expect(withoutChance(came)).toBe(withoutChance(line));
      }
    }
    for (const { client } of speakers.values()) {
      await client.close();
    }
    await using last = await connectRaw(daemon);
    await last.call('holdfast.release', { all: true });
  }
});

test('the guide for operators and the README name every verb', () => {
  const guide = page('docs/operators.md') + page('README.md');
  const unnamed = commandNames.filter((name) => !new RegExp(`holdfast ${name}\\b|\`${name}\``).test(guide));
  expect(unnamed).toEqual([]);
});

test('the screens of the guide for operators are what its commands show: npm run build:screens', async () => {
  const screens = screensOf(page('docs/operators.md'));
  expect(screens.length).toBeGreaterThan(8);
  await using scene = await OperatorsScene.start();
  for (const { command, shown } of screens) {
    expect({ command, shown: lasting(await scene.run(command)) }).toEqual({ command, shown: lasting(shown) });
  }
}, 180_000);

test('each of these screens is there as a picture, too, and the guide shows it', () => {
  const guide = page('docs/operators.md');
  const screens = screensOf(guide);
  const kept = readdirSync(new URL('../docs/screens', import.meta.url)).map((name) => [
    name,
    page(`docs/screens/${name}`),
  ]);
  expect(Object.fromEntries(kept)).toEqual(
    Object.fromEntries(screens.map((screen) => [svgName(screen), svgOf(screen)])),
  );
  expect(new Set(screens.map(svgName)).size).toBe(screens.length);
  const shown = [...guide.matchAll(/^!\[(.+)\]\(screens\/(.+)\)$/gm)].map(([, what = '', name]) => [what !== '', name]);
  expect(shown).toEqual(screens.map((screen) => [true, svgName(screen)]));
});

/** A line without the values that are others each time. */
function withoutChance(line: string): string {
  return line
    .replace(/"(pid|startTime|startedAt|at|outputAt|spawnedAt|exitedAt|sinceAttachChange)":[\d.]+/g, '"$1":0')
    .replace(/"(version|instanceId|os|arch)":"[^"]*"/g, '"$1":""');
}
