/** `holdfast attention`: which agents wait for somebody's permission (spec operators.md). */
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../../base/printable.ts';
import { answering, complainOf, harmlessJson } from '../answer.ts';
import type { DaemonWords } from '../daemon-options.ts';
import { reachDaemons } from '../daemons.ts';
import { exitFailed, exitNone } from '../exit-codes.ts';
import { exitCodeOf, notesOf } from '../look-at-sessions.ts';
import { keyOf, lookForAllRequests, type SeenSession } from '../look-for-requests.ts';
import { runThere } from '../over-ssh.ts';
import { writerOf } from '../standard-outputs.ts';
import { ageText, type Column, screenWidth, tableLines } from '../table.ts';
import type { VerbContext } from '../verbs.ts';
import type { ToolRequest } from '../waiting.ts';
import { CommandForEach } from './command-for-each.ts';
import { WatchedDaemons } from './watched-daemons.ts';

interface AttentionWords extends DaemonWords {
  readonly watch?: boolean;
  readonly exec?: readonly string[];
  readonly json?: boolean;
}

/** One request that waits; the schema is docs/schemas/attention.json. */
export interface AttentionRow {
  /** Path of the socket of its daemon. */
  readonly daemon: string;
  readonly host?: string;
  /** Of the session. */
  readonly id: string;
  readonly requestId: string;
  readonly tool: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** What the tool is to be called with: JSON, cut when it is long. */
  readonly input: string;
}

export function attention(_: readonly string[], words: AttentionWords, context: VerbContext): Promise<number> {
  return answering('attention', context, () => (words.watch === true ? watch(words, context) : show(words, context)));
}

// ---- once

async function show(words: AttentionWords, context: VerbContext): Promise<number> {
  const { rows, exitCode, notes } =
    words.host === undefined ? await lookHere(words, context) : await lookThere(words.host, words, context);
  const print = writerOf(process.stdout);
  if (words.json === true) {
    await print(`${harmlessJson(rows)}\n`);
  } else if (rows.length > 0) {
    const lines = await tableLines(
      columns,
      rows.map((row) => cellsOf(row, Date.now())),
      screenWidth(context.environment),
    );
    await print(`${lines.join('\n')}\n`);
  }
  for (const note of notes) {
    complainOf(context, 'attention', note);
  }
  const commands = new CommandForEach(words.exec, context);
  for (const row of rows) {
    commands.add(row);
  }
  await commands.ended();
  return exitCode;
}

interface Answer {
  readonly rows: readonly AttentionRow[];
  readonly exitCode: number;
  readonly notes: readonly string[];
}

async function lookHere(words: AttentionWords, context: VerbContext): Promise<Answer> {
  const daemons = await reachDaemons(words, context);
  try {
    const rows = await Promise.all(
      daemons.reached.map(async ({ host, socket, sessions }) =>
        rowsOf(socket, sessions, await lookForAllRequests(host, sessions)),
      ),
    );
    return { rows: oldestFirst(rows.flat()), exitCode: exitCodeOf(daemons), notes: notesOf(daemons) };
  } finally {
    await daemons[Symbol.asyncDispose]();
  }
}

async function lookThere(host: string, words: AttentionWords, { environment }: VerbContext): Promise<Answer> {
  const { document, exitCode, notes } = await runThere(host, words, ['attention'], environment);
  const rows = (document as readonly AttentionRow[]).map((row) => ({ ...row, host }));
  return { rows, exitCode, notes: notes.split('\n').filter((line) => line !== '') };
}

// ---- until it is ended

/** A request is to show within a second. */
const pauseMs = 400;

async function watch(words: AttentionWords, context: VerbContext): Promise<number> {
  const print = writerOf(process.stdout);
  const daemons = new WatchedDaemons(words, context);
  const commands = new CommandForEach(words.exec, context);
  const told = new Set<string>();
  try {
    for (let isFirst = true; ; isFirst = false) {
      await daemons.find();
      if (daemons.watched.length === 0) {
        const [lost] = daemons.lost.slice(-1);
        complainOf(context, 'attention', lost?.reason ?? 'no daemon runs here');
        return isFirst && (lost === undefined || lost.kind === 'refused') ? exitNone : exitFailed;
      }
      for (const row of oldestFirst(await daemons.look())) {
        const key = JSON.stringify([row.daemon, row.id, row.requestId, row.since]);
        if (!told.has(key)) {
          told.add(key);
          const shown = words.host === undefined ? row : { ...row, host: words.host };
          await print(words.json === true ? `${harmlessJson(shown)}\n` : lineOf(shown));
          commands.add(shown);
        }
      }
      await delay(pauseMs);
    }
  } finally {
    await commands.ended();
    await daemons[Symbol.asyncDispose]();
  }
}

function lineOf({ id, requestId, tool, since, input }: AttentionRow): string {
  const at = new Date(since).toISOString();
  return `${at}  ${printable(id)}  ${printable(tool)}  ${printable(input, mostShown)}  (holdfast answer ${word(id)} ${word(requestId)} allow)\n`;
}

/** As it is typed in a shell; only a text that is harmless already is put so. */
function word(text: string): string {
  const shown = printable(text);
  return /^[\w@%+=:,./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", `'\\''`)}'`;
}

// ---- rows

const mostShown = 200;
const mostInput = 4_000;

const columns: readonly Column[] = [
  { title: 'SESSION', leastWidth: 8 },
  { title: 'WAITS', align: 'right' },
  { title: 'TOOL' },
  { title: 'REQUEST' },
  { title: 'INPUT', leastWidth: 10 },
];

function cellsOf({ host, id, requestId, tool, since, input }: AttentionRow, now: number): string[] {
  return [host === undefined ? id : `${host}:${id}`, ageText(now - since), tool, requestId, input.slice(0, mostShown)];
}

/** @param seen of `lookForAllRequests` */
export function rowsOf(
  daemon: string,
  sessions: readonly { readonly id: string; readonly pid: number; readonly startTime: number }[],
  seen: ReadonlyMap<string, SeenSession>,
): AttentionRow[] {
  return sessions.flatMap((session) =>
    (seen.get(keyOf(session))?.requests.open ?? []).map((request) => ({
      ...{ daemon, id: session.id, requestId: request.requestId, tool: request.tool, since: request.since },
      input: inputText(request),
    })),
  );
}

function inputText({ input }: ToolRequest): string {
  const text = JSON.stringify(input);
  return text.length > mostInput ? `${text.slice(0, mostInput)}…` : text;
}

function oldestFirst(rows: readonly AttentionRow[]): AttentionRow[] {
  return [...rows].sort((one, other) => one.since - other.since);
}
