/** `holdfast ps`: one row a session, over all daemons of this user (spec operators.md). */
import { setTimeout as delay } from 'node:timers/promises';
import { answering, complainOf, harmlessJson } from './answer.ts';
import { commandText } from './command-text.ts';
import type { DaemonWords } from './daemon-options.ts';
import { exitCodeOf, lookAtSessions, notesOf, type SessionsLook } from './look-at-sessions.ts';
import { runThere } from './over-ssh.ts';
import { Patience } from './patience.ts';
import { type SessionRow, type ShownProcess, shownProcess } from './session-rows.ts';
import { writerOf } from './standard-outputs.ts';
import { ageText, type Column, screenWidth, sizeText, tableLines } from './table.ts';
import type { VerbContext } from './verbs.ts';

interface PsWords extends DaemonWords {
  readonly all?: boolean;
  readonly tree?: boolean;
  readonly watch?: number | true;
  readonly json?: boolean;
}

type PsRow = SessionRow & {
  readonly processes?: readonly ShownProcess[];
};

interface PsAnswer {
  readonly rows: readonly PsRow[];
  readonly exitCode: number;
  readonly notes: readonly string[];
}

const watchMs = 2_000;
/** A shorter pause would do nothing but look. */
const leastWatchMs = 100;

export function ps(_: readonly string[], words: PsWords, context: VerbContext): Promise<number> {
  return answering('ps', context, () => show(words, context));
}

async function show(words: PsWords, context: VerbContext): Promise<number> {
  const print = writerOf(process.stdout);
  const isScreen = process.stdout.isTTY === true;
  const patience = new Patience();
  let before: SessionsLook | undefined;
  for (let round = 0; ; round++) {
    let answer: PsAnswer;
    if (words.host === undefined) {
      before = await lookAtSessions(words, context, before);
      answer = answerOf(before, words);
    } else {
      answer = await psThere(words.host, words, context);
    }
    if (words.json === true) {
      await print(`${harmlessJson(answer.rows)}\n`);
    } else {
      const width = screenWidth(context.environment);
      const lines = await psLines(answer.rows, width, Date.now());
      if (words.watch !== undefined && isScreen) {
        await print(`\u001b[H\u001b[2J${lines.slice(0, (process.stdout.rows ?? lines.length + 1) - 1).join('\n')}\n`);
      } else if (answer.exitCode === 0 || answer.rows.length > 0) {
        await print(`${round > 0 ? '\n' : ''}${lines.join('\n')}\n`);
      }
    }
    const end = words.watch === undefined ? answer.exitCode : patience.endAfter(answer.exitCode, round === 0);
    if (end !== undefined || (round === 0 && answer.exitCode !== 0)) {
      for (const note of answer.notes) {
        complainOf(context, 'ps', note);
      }
    }
    if (end !== undefined) {
      return end;
    }
    await delay(Math.max(leastWatchMs, typeof words.watch === 'number' ? words.watch : watchMs));
  }
}

function answerOf(look: SessionsLook, { all, tree }: PsWords): PsAnswer {
  const rows = look.rows
    .filter(({ row }) => all === true || row.state !== 'exited' || row.strays.length > 0)
    .map(({ row, processes }) =>
      tree === true ? { ...row, processes: processes.tree.slice(1).map(shownProcess) } : row,
    );
  return { rows, exitCode: exitCodeOf(look), notes: notesOf(look) };
}

async function psThere(host: string, words: PsWords, { environment }: VerbContext): Promise<PsAnswer> {
  const options = [...(words.all === true ? ['--all'] : []), ...(words.tree === true ? ['--tree'] : [])];
  const { document, exitCode, notes } = await runThere(host, words, ['ps', ...options], environment);
  const rows = (document as readonly PsRow[]).map((row) => ({ ...row, host }));
  return { rows, exitCode, notes: notes.split('\n').filter((line) => line !== '') };
}

// ---- the table

const columns: readonly Column[] = [
  { title: 'ID', leastWidth: 8 },
  { title: 'PID', align: 'right' },
  { title: 'STATE' },
  { title: 'AGE', align: 'right' },
  { title: 'CPU%', align: 'right' },
  { title: 'MEM', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'IN', align: 'right' },
  { title: 'SEQ', align: 'right' },
  { title: 'CLIENT' },
  { title: 'COMMAND', leastWidth: 8 },
];

/** @param now milliseconds since the epoch */
export function psLines(rows: readonly PsRow[], width: number, now: number): Promise<string[]> {
  const cells = rows.flatMap((row) => [
    [
      row.id,
      String(row.pid),
      stateText(row),
      ageText(now - row.spawnedAt),
      row.cpuPercent < 100 ? row.cpuPercent.toFixed(1) : String(Math.round(row.cpuPercent)),
      sizeText(row.memoryBytes),
      sizeText(row.outBytes + row.errBytes),
      sizeText(row.inBytes),
      String(row.lastSeq),
      row.attached ? 'attached' : ageText(now - row.sinceAttachChange),
      `${straysText(row.strays.length)}${commandText(row.command, row.args)}`,
    ],
    ...(row.processes ?? []).map((each) => processCells(each, '  ')),
    ...(row.processes === undefined ? [] : row.strays.map((each) => processCells(each, 'stray: '))),
  ]);
  return tableLines(columns, cells, width);
}

function processCells({ pid, command }: ShownProcess, before: string): string[] {
  return ['', String(pid), '', '', '', '', '', '', '', '', `${before}${command}`];
}

/** `running`, `paced`, `waiting`, `ended 3`, `ended KILL`. */
export function stateText({ state, exitCode, signal, paced, waiting }: SessionRow): string {
  if (state === 'exited') {
    return `ended ${signal === undefined ? exitCode : signal.replace(/^SIG/, '')}`;
  }
  if (waiting.length > 0) {
    return 'waiting';
  }
  return paced ? 'paced' : 'running';
}

function straysText(count: number): string {
  return count === 0 ? '' : `+${count} ${count === 1 ? 'stray' : 'strays'} `;
}
