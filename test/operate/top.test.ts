/** `holdfast top` in a real terminal, and without one. */
import { describe, expect, test } from 'vitest';
import { commandText } from '../../src/operate/command-text.ts';
import type { SessionRow } from '../../src/operate/session-rows.ts';
import { keysOf } from '../../src/operate/top/keys.ts';
import { screenLines } from '../../src/operate/top/lines.ts';
import { Rates, sparkline } from '../../src/operate/top/rates.ts';
import { View } from '../../src/operate/top/view.ts';
import { startDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { testNeeding } from '../support/needs.ts';
import { expectSchema } from '../support/schemas.ts';
import { TestTerminal, tmux } from '../support/terminal.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const hostile = 'evil\u001b[2J\u009b31m\u202e\nid';
const shownHostile = 'evil\\x1b[2J';

function sessionRow(id: string, changes: Partial<SessionRow> = {}): SessionRow {
  return {
    ...{ id, pid: 7, startTime: 1, command: 'sleep', args: ['1000'], state: 'running', spawnedAt: 0 },
    ...{ attached: false, observers: 0, sinceAttachChange: 0, unseenExit: false, firstSeq: 0, lastSeq: 0 },
    ...{ outBytes: 0, errBytes: 0, inBytes: 0, stdinQueued: 0, stdinClosed: false, windowBytes: 0, spoolBytes: 0 },
    ...{ paced: false, door: 'rpc', daemon: '/s', cpuPercent: 0, memoryBytes: 0, strays: [], waiting: [] },
    ...changes,
  };
}

function viewOf(rows: readonly SessionRow[]): { view: View; rates: Rates } {
  const rates = new Rates();
  rates.update(rows, 1_000);
  const view = new View(rates);
  view.update(rows);
  return { view, rates };
}

const typed = (view: View, keys: string) => keysOf(keys).map((key) => view.take(key));

describe('the screen', () => {
  test.each([
    [80, 24],
    [200, 50],
    [40, 10],
    [10, 3],
  ])('fits %i x %i with 1,000 sessions and hostile ids, and has no control byte', async (columns, rows) => {
    const sessions = Array.from({ length: 1_000 }, (_, index) =>
      sessionRow(`${hostile}${index} 漢字`, {
        cpuPercent: index / 10,
        windowBytes: index * 1e5,
        outBytes: index * 1e6,
      }),
    );
    const { view, rates } = viewOf(sessions);
    typed(view, 'jjj');
    const lines = await screenLines(view, rates, { columns, rows }, 'a note', 2_000);
    expect(lines).toHaveLength(rows);
    expect(lines.filter((line) => line.length > columns)).toEqual([]);
    expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2028]/);
  });

  test('is ordered by what s chooses, filtered by what is typed behind /, and keeps the chosen session', () => {
    const rows = [
      sessionRow('a', { cpuPercent: 5, memoryBytes: 1, command: 'make' }),
      sessionRow('b', { cpuPercent: 1, memoryBytes: 9 }),
      sessionRow('c', { cpuPercent: 3, memoryBytes: 5 }),
    ];
    const { view } = viewOf(rows);
    const ids = () => view.shown.map(({ id }) => id).join('');
    expect(ids()).toBe('acb');
    typed(view, 'j');
    expect(view.shown[view.place(view.shown)]?.id).toBe('c');
    typed(view, 's');
    expect([view.sort, ids(), view.shown[view.place(view.shown)]?.id]).toEqual(['memory', 'bca', 'c']);
    typed(view, '/MAKE\r');
    expect(ids()).toBe('a');
    expect(commandText('make', ['1000'])).toBe('make 1000');
    typed(view, '\u001b');
    expect(ids()).toBe('bca');
    expect(typed(view, '\u001b[5~\u001b[B\u001b[200~xn')).not.toContainEqual(
      expect.objectContaining({ do: 'release' }),
    );
    expect(typed(view, 'xy').at(-1)).toMatchObject({ do: 'release', row: { id: 'c' } });
    expect(typed(view, 'q')).toEqual([{ do: 'quit' }]);
  });

  test('shows of each session how much it has written at the last looks', () => {
    const rates = new Rates();
    rates.update([sessionRow('a', { outBytes: 0 })], 1_000);
    rates.update([sessionRow('a', { outBytes: 4_000 })], 3_000);
    rates.update([sessionRow('a', { outBytes: 5_000 })], 5_000);
    expect(rates.of(sessionRow('a'))).toEqual({ perSecond: 500, history: [0, 2_000, 500] });
    expect(sparkline([0, 2_000, 500])).toBe('      █▃');
  });
});

test('without a terminal it is a table, or what ps tells as JSON; exit codes are those of ps', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  await host.spawn({ id: hostile, command: 'sleep', args: ['1000'] });
  const once = await daemon.run(['top', '--socket', daemon.socket]);
  expect(once).toMatchObject({ code: 0, stderr: '' });
  expect(once.stdout).toMatch(/^ ID +STATE +AGE +CPU% +MEM +OUT\/s +WINDOW +OUTPUT +COMMAND\n/);
  expect(once.stdout).toContain(shownHostile);
  expect(once.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(once.stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  const json = await daemon.run(['top', '--once', '--json', '--socket', daemon.socket]);
  expect(expectSchema('ps', json.stdout)).toMatchObject([{ id: hostile }]);
  expect(await daemon.run(['top', '--frob'])).toMatchObject({ code: 2, stdout: '' });
  expect(await daemon.run(['top', '--socket', `${daemon.socket}x`])).toMatchObject({ code: 3, stdout: '' });
});

testNeeding(tmux)(
  'in a terminal: resized, filtered, a log opened, a session released after a question, and the screen given back',
  { timeout: 90_000 },
  async () => {
    await using daemon = await startDaemon();
    await using host = await connectTo(daemon);
    await host.spawn({ id: hostile, command: 'sleep', args: ['1000'] });
    const script = 'while :; do echo line; sleep 0.1; done';
    await host.spawn({ id: 'writer', command: 'sh', args: ['-c', script] });
    const words = [program, 'top', '--socket', daemon.socket, '--interval', '300ms'];
    using terminal = new TestTerminal(words, { columns: 80, rows: 24, env: daemon.env });
    await terminal.until(/2 of 2 sessions, 2 running, 0 waiting/);
    await terminal.until(/writer +running .*[▁▂▃▄▅▆▇█] +sh -c/);
    expect(terminal.text).toContain(shownHostile);
    expect(terminal.lines).toHaveLength(24);
    expect(terminal.lines.at(-1)).toMatch(/^q quit .*s sort: cpu .*\/ filter .*l logs .*x release/);

    terminal.resize(200, 50);
    await terminal.until(new RegExp(`COMMAND\\n(?:.*\\n){2}\\n{${50 - 5}}q quit`));
    terminal.resize(80, 24);
    await terminal.until(new RegExp(`COMMAND\\n(?:.*\\n){2}\\n{${24 - 5}}q quit`));

    terminal.type('/writ');
    await terminal.until(/1 of 2 sessions[\s\S]*filter: writ_/);
    terminal.type('\r');
    await terminal.until(/q quit .*filter: writ/);
    terminal.type('l');
    await terminal.until(/line\nline\nline/);
    terminal.type('\u0003');
    await terminal.until(/1 of 2 sessions/);

    terminal.type('x');
    await terminal.until(/end and forget session writer \(pid \d+\)\? y\/n/);
    terminal.type('n');
    await terminal.until(/q quit/);
    expect((await host.sessions()).map(({ id }) => id)).toContain('writer');
    terminal.type('x');
    await terminal.until(/\? y\/n/);
    terminal.type('y');
    await terminal.until(/0 of 1 sessions/);
    await waitUntil(async () => (await host.sessions()).every(({ id }) => id !== 'writer') || undefined, 'the release');

    terminal.type('q');
    await terminal.until(/\$\s*$/);
    expectOnlyItsOwn(terminal.raw);
  },
);

testNeeding(tmux)(
  'with 1,000 sessions of hostile names: 80 x 24, 200 x 50, resized while it looks, and without a terminal',
  { timeout: 180_000 },
  async () => {
    await using daemon = await startDaemon();
    const hostileIds = Array.from({ length: 1_000 }, (_, index) => `${index} ${hostile} 漢字`);
    {
      // They outlive their starter.
      await using starter = await connectRaw(daemon, { keep: 'figures' });
      const spawn = (id: string) => starter.call('process.spawn', { id, command: 'sleep', args: ['1000'] });
      expect(await Promise.all(hostileIds.map(spawn))).toEqual(hostileIds.map(() => ({ success: true })));
    }
    const words = [program, 'top', '--socket', daemon.socket, '--interval', '200ms'];
    using terminal = new TestTerminal(words, { columns: 80, rows: 24, env: daemon.env });
    const looking = { timeoutMs: 120_000 };
    const first = await terminal.until(/1000 of 1000 sessions, 1000 running, 0 waiting[\s\S]*\nq quit/, looking);
    const fits = (screen: string, columns: number, rows: number) => {
      const lines = screen.split('\n');
      expect(lines).toHaveLength(rows);
      expect(lines.filter((line) => line.length > columns)).toEqual([]);
      expect(lines.at(-1)).toMatch(/^q quit /);
      // A row for each line between the two of the head and the keys.
      expect(lines.filter((line) => /^ *\d+ evil\\x1b/.test(line)).length).toBeGreaterThanOrEqual(rows - 5);
    };
    fits(first, 80, 24);
    for (const [columns, rows] of [
      [200, 50],
      [80, 24],
      [120, 40],
    ] as const) {
      terminal.resize(columns, rows);
      fits(await terminal.until(new RegExp(`^(?:.+\\n){${rows - 1}}q quit`), looking), columns, rows);
    }
    terminal.type('/999 evil\r');
    await terminal.until(/1 of 1000 sessions/, looking);
    terminal.type('q');
    await terminal.until(/\$\s*$/, looking);
    expectOnlyItsOwn(terminal.raw);

    const once = await daemon.run(['top', '--once', '--socket', daemon.socket]);
    expect(once).toMatchObject({ code: 0, stderr: '' });
    expect(once.stdout.split('\n')).toHaveLength(1_000 + 2);
    expect(once.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    const json = await daemon.run(['top', '--json', '--socket', daemon.socket]);
    const ids = (expectSchema('ps', json.stdout) as { readonly id: string }[]).map(({ id }) => id);
    expect(ids.sort()).toEqual(hostileIds.sort());
  },
);

/** What top has painted holds no control byte but those by which it paints. */
function expectOnlyItsOwn(raw: string): void {
  const own = /\u001b\[(?:\d+;1H|K|J|\?1049[hl]|\?25[hl])/g;
  const painted = raw.slice(raw.indexOf('\u001b[?1049h'), raw.lastIndexOf('\u001b[?1049l'));
  const ofTop = painted.split('\u001b[?1049h').map((part) => part.split('\u001b[?1049l')[0] ?? '');
  expect(ofTop.join('').length).toBeGreaterThan(100);
  expect(ofTop.join('').replaceAll(own, '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
}
