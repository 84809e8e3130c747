/**
 * `holdfast answer`: types the answer to a request that waits, once (spec operators.md). The bytes go where the input stood when
 * the request was seen unanswered, all of them or none: whoever types meanwhile makes the daemon refuse them, and we look again.
 * They go aside (docs/extensions.md): the client of the session counts what it has typed itself, and must not lose a byte by ours.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../../base/printable.ts';
import { HoldfastError, type Host, type ParamsOf } from '../../client/index.ts';
import { answering, complainOf, printJson } from '../answer.ts';
import type { DaemonWords } from '../daemon-options.ts';
import { type Daemons, type ReachedDaemon, reachDaemons } from '../daemons.ts';
import { exitFailed, exitNone, exitOk, exitRefused, exitUsage } from '../exit-codes.ts';
import { exitCodeOf, notesOf } from '../look-at-sessions.ts';
import { lookForRequests, type SessionLook } from '../look-for-requests.ts';
import { runThere } from '../over-ssh.ts';
import type { VerbContext } from '../verbs.ts';
import type { Settled, ToolRequest } from '../waiting.ts';

interface AnswerWords extends DaemonWords {
  readonly message?: string;
  readonly json?: boolean;
}

/** The schema is docs/schemas/answer.json. */
interface AnswerRow {
  readonly daemon: string;
  readonly id: string;
  readonly requestId: string;
  readonly tool: string;
  readonly behavior: Behavior;
}

type Behavior = 'allow' | 'deny';

class Refusal extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export function answer(
  [id = '', requestId = '', behavior = '']: readonly string[],
  words: AnswerWords,
  context: VerbContext,
): Promise<number> {
  return answering('answer', context, async () => {
    if (behavior !== 'allow' && behavior !== 'deny') {
      complainOf(context, 'answer', `${behavior} is no answer: want allow or deny`);
      return exitUsage;
    }
    if (behavior === 'allow' && words.message !== undefined) {
      complainOf(context, 'answer', '--message goes with deny: the agent is told why');
      return exitUsage;
    }
    try {
      return words.host === undefined
        ? await answerHere(id, requestId, behavior, words, context)
        : await answerThere(words.host, [id, requestId, behavior], words, context);
    } catch (error) {
      if (error instanceof Refusal) {
        complainOf(context, 'answer', error.message);
        if (words.json === true) {
          // A document all the same: nothing was typed.
          printJson(context, null);
        }
        return error.exitCode;
      }
      throw error;
    }
  });
}

async function answerThere(
  host: string,
  args: readonly string[],
  words: AnswerWords,
  context: VerbContext,
): Promise<number> {
  const message = words.message === undefined ? [] : ['--message', words.message];
  const there = await runThere(host, words, ['answer', ...message, ...args], context.environment);
  for (const note of there.notes.split('\n').filter((line) => line !== '')) {
    context.complain(`${printable(note)}\n`);
  }
  if (there.document !== null) {
    tell({ ...(there.document as AnswerRow), host }, words, context);
  } else if (words.json === true) {
    printJson(context, null);
  }
  return there.exitCode;
}

async function answerHere(
  id: string,
  requestId: string,
  behavior: Behavior,
  words: AnswerWords,
  context: VerbContext,
): Promise<number> {
  const daemons = await reachDaemons(words, context);
  try {
    const daemon = daemonOf(id, daemons);
    const { request, isCounted } = await answerOnce(daemon, id, requestId, behavior, words.message);
    if (isCounted && daemon.sessions.some((session) => session.id === id && session.attached)) {
      complainOf(
        context,
        'answer',
        'this daemon, or its keeper, is of an older release and counts the answer among the bytes of the client that has the session: a client that counts its own must ask for stdinApplied (process.reattach) before it types again',
      );
    }
    tell({ daemon: daemon.socket, id, requestId: request.requestId, tool: request.tool, behavior }, words, context);
    return exitOk;
  } finally {
    await daemons[Symbol.asyncDispose]();
  }
}

function tell(row: AnswerRow & { readonly host?: string }, { json }: AnswerWords, context: VerbContext): void {
  if (json === true) {
    printJson(context, row);
  } else {
    const done = row.behavior === 'allow' ? 'allowed' : 'denied';
    context.print(`${done}: ${printable(row.tool)} for session ${printable(row.id)}\n`);
  }
}

function daemonOf(id: string, daemons: Daemons): ReachedDaemon {
  const found = daemons.reached.filter(({ sessions }) => sessions.some((session) => session.id === id));
  const [daemon] = found;
  if (daemon === undefined) {
    const [note] = daemons.reached.length === 0 ? notesOf(daemons) : [];
    throw new Refusal(
      daemons.reached.length === 0 ? exitCodeOf(daemons) : exitNone,
      note ?? `there is no session ${id} here; holdfast attention shows those that wait`,
    );
  }
  if (found.length > 1) {
    throw new Refusal(
      exitRefused,
      `session ${id} is at ${found.map(({ socket }) => socket).join(' and ')}; say which one with --socket`,
    );
  }
  return daemon;
}

const settledTexts: Readonly<Record<Settled, string>> = {
  answered: 'somebody else has answered it',
  takenBack: 'the agent has taken it back',
  turnOver: 'the turn it belonged to is over',
};

/** Others may type at the same time; each round one of them has come through. */
const mostRounds = 100;
/** Another client that has sent a part of a line sends the rest soon. */
const halfLineMs = 2_000;
const pauseMs = 50;

async function answerOnce(
  { host, sessions }: ReachedDaemon,
  id: string,
  asked: string,
  behavior: Behavior,
  message: string | undefined,
): Promise<Typed & { readonly request: ToolRequest }> {
  const session = sessions.find((each) => each.id === id);
  let look: SessionLook | undefined;
  let waitedMs = 0;
  /** What we have sent, and the daemon may have taken. */
  let sent: { readonly request: ToolRequest } | undefined;
  const signature = newSignature();
  for (let round = 0; round < mostRounds; round++) {
    look = session === undefined ? undefined : await lookForRequests(host, session, look?.requests);
    if (look === undefined) {
      throw new Refusal(exitNone, `session ${id} has ended`);
    }
    const { activity, inBytes } = look;
    if (activity === undefined) {
      throw new Refusal(
        exitFailed,
        'this daemon, or its keeper, is of an older release and does not tell what was typed; use holdfast attach --take --input',
      );
    }
    const piece = sent === undefined ? undefined : activity.input.find(({ kept }) => isSigned(kept, signature));
    if (sent !== undefined && piece !== undefined) {
      return { ...sent, isCounted: piece.aside === undefined };
    }
    const request = openRequest(look, asked);
    const last = activity.input.at(-1)?.kept.at(-1);
    const isWithinLine = last !== undefined && Buffer.from(last, 'base64').at(-1) !== 0x0a;
    if (isWithinLine && waitedMs < halfLineMs) {
      waitedMs += pauseMs;
      round--;
      await delay(pauseMs);
      continue;
    }
    if (isWithinLine) {
      throw new Refusal(
        exitRefused,
        'another client has typed half a line into the session, and an answer would tear it',
      );
    }
    const data = Buffer.from(`${responseTo(request, behavior, message)}${signature}\n`).toString('base64');
    sent = { request };
    const taken = await typed(host, { id, data, offset: inBytes, exact: true, aside: activity.aside });
    if (taken !== undefined) {
      return { ...sent, ...taken };
    }
  }
  throw new Refusal(exitRefused, 'others type into the session all the time; nothing was typed');
}

function openRequest({ requests }: SessionLook, asked: string): ToolRequest {
  const request = requests.open.find(({ requestId }) => requestId === asked || printable(requestId) === asked);
  if (request !== undefined) {
    return request;
  }
  const settled = requests.settledAs(asked);
  throw settled === undefined
    ? new Refusal(exitNone, `there is no request ${asked} in the session; holdfast attention shows those that wait`)
    : new Refusal(exitRefused, `request ${asked} does not wait any more: ${settledTexts[settled]}`);
}

function responseTo({ requestId, input }: ToolRequest, behavior: Behavior, message: string | undefined): string {
  const response =
    behavior === 'allow'
      ? { behavior, updatedInput: input }
      : { behavior, message: message ?? 'The user does not want this tool to be used.' };
  return JSON.stringify({
    type: 'control_response',
    response: { subtype: 'success', request_id: requestId, response },
  });
}

const signatureBits = 32;

/** Blanks at the end of the line, which no reader of JSON minds: two who give the same answer are told apart by them. */
function newSignature(): string {
  const bits = randomBytes(signatureBits / 8).readUInt32BE();
  return Array.from({ length: signatureBits }, (_, bit) => ((bits >>> bit) & 1 ? '\t' : ' ')).join('');
}

/** @param kept of a piece of input: all of it, or its beginning and its end */
function isSigned(kept: readonly string[], signature: string): boolean {
  return Buffer.from(kept.at(-1) ?? '', 'base64')
    .toString('latin1')
    .endsWith(`${signature}\n`);
}

/** An answer that the daemon has taken. */
interface Typed {
  /** Among the bytes of the session's client: only a daemon of an older release does that. */
  readonly isCounted: boolean;
}

/** @returns `undefined`: the input stands elsewhere by now, and nothing was taken */
async function typed(host: Host, input: ParamsOf<'process.stdin'>): Promise<Typed | undefined> {
  const { id, offset } = input;
  try {
    const { applied } = await host.process.stdin(input);
    return { isCounted: applied !== offset };
  } catch (error) {
    if (error instanceof HoldfastError && /stdin offset/.test(error.message)) {
      return undefined;
    }
    if (error instanceof HoldfastError && /Process not (?:running|found)/.test(error.message)) {
      throw new Refusal(exitNone, `session ${id} has ended`);
    }
    throw error;
  }
}
