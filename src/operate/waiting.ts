/**
 * Which requests of an agent wait for somebody: read from the frames, never guessed (spec operators.md "Waiting"). A
 * `control_request` `can_use_tool` on stdout waits until its `control_response` has gone into the input, the agent has taken
 * it back, its tool has a result, or the turn is over.
 */
import { isUtf8 } from 'node:buffer';
import type { SessionActivity, SessionEvent } from '../client/index.ts';

export interface ToolRequest {
  /** As the agent has written it. */
  readonly requestId: string;
  readonly tool: string;
  readonly toolUseId: string | undefined;
  /** What the tool is to be called with. */
  readonly input: unknown;
  /** Frame in which its line ended. */
  readonly seq: number;
  /** Of the last output when the request was seen first, in milliseconds since the epoch. */
  readonly since: number;
}

/** Why a request that was asked does not wait any more. */
export type Settled = 'answered' | 'takenBack' | 'turnOver';

/** A line of a session's window is never longer; one that is, while it is followed live, says nothing that is waited for. */
const longestLine = 32 * 1024 * 1024;
/** Ids of requests that are over, for who asks about one of them. */
const mostSettled = 1_000;

/** Follows the output of one session from its first kept frame on, over any number of looks. */
export class WaitingRequests {
  readonly #open = new Map<string, ToolRequest>();
  readonly #settled = new Map<string, Settled>();
  #line: Buffer[] = [];
  #lineBytes = 0;
  /** The beginning of the line is missing. */
  #isTorn: boolean;
  #lastSeq: number;

  /** @param fromSeq the last frame before the first one that is taken; 0: none is missing */
  constructor(fromSeq: number) {
    this.#lastSeq = fromSeq;
    this.#isTorn = fromSeq > 0;
  }

  /** The last frame taken. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** The oldest first. */
  get open(): readonly ToolRequest[] {
    return [...this.#open.values()];
  }

  settledAs(requestId: string): Settled | undefined {
    return this.#settled.get(requestId);
  }

  take(event: SessionEvent): void {
    if (event.type === 'gap') {
      this.#lastSeq = event.to;
      this.#tear();
      return;
    }
    this.#lastSeq = event.seq;
    if (event.type === 'stdout') {
      this.#takeOutput(Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength));
    } else if (event.type === 'exit') {
      this.#settleAll();
    }
  }

  /** What came and went last, after all frames up to now. */
  takeActivity({ outputAt = Date.now(), input }: SessionActivity): void {
    for (const [id, request] of this.#open) {
      if (request.since === 0) {
        this.#open.set(id, { ...request, since: outputAt });
      }
    }
    for (const { requestId, seq } of answersIn(input)) {
      const request = this.#open.get(requestId);
      if (request !== undefined && seq >= request.seq) {
        this.#settle(requestId, 'answered');
      }
    }
  }

  #takeOutput(bytes: Buffer): void {
    let rest = bytes;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      this.#append(rest.subarray(0, end));
      this.#lineEnded();
      rest = rest.subarray(end + 1);
    }
    this.#append(rest);
  }

  #append(bytes: Buffer): void {
    if (this.#isTorn || bytes.length === 0) {
      return;
    }
    this.#lineBytes += bytes.length;
    if (this.#lineBytes > longestLine) {
      this.#tear();
    } else {
      this.#line.push(bytes);
    }
  }

  /** Whatever comes up to the next line end is no whole line. */
  #tear(): void {
    this.#line = [];
    this.#lineBytes = 0;
    this.#isTorn = true;
  }

  #lineEnded(): void {
    const line = Buffer.concat(this.#line);
    const isWhole = !this.#isTorn;
    this.#line = [];
    this.#lineBytes = 0;
    this.#isTorn = false;
    if (isWhole && mayMatter(line, this.#open.size > 0)) {
      this.#takeEvent(parsed(line));
    }
  }

  #takeEvent(event: Fields | undefined): void {
    switch (event?.type) {
      case 'control_request':
        this.#asked(event);
        break;
      case 'control_cancel_request':
        this.#settle(textOf(event.request_id) ?? '', 'takenBack');
        break;
      case 'result':
        this.#settleAll();
        break;
      case 'user':
        this.#toolsEnded(event);
        break;
      default:
    }
  }

  #asked({ request_id: requestId, request }: Fields): void {
    if (typeof requestId !== 'string' || requestId === '' || !isFields(request) || request.subtype !== 'can_use_tool') {
      return;
    }
    this.#settled.delete(requestId);
    this.#open.delete(requestId);
    this.#open.set(requestId, {
      requestId,
      tool: textOf(request.tool_name) ?? '',
      toolUseId: textOf(request.tool_use_id),
      input: request.input ?? {},
      seq: this.#lastSeq,
      since: 0,
    });
  }

  #toolsEnded({ message }: Fields): void {
    const parts = isFields(message) && Array.isArray(message.content) ? message.content : [];
    for (const part of parts) {
      if (isFields(part) && part.type === 'tool_result') {
        for (const { requestId, toolUseId } of this.open) {
          if (toolUseId !== undefined && toolUseId === part.tool_use_id) {
            this.#settle(requestId, 'answered');
          }
        }
      }
    }
  }

  #settleAll(): void {
    for (const requestId of this.#open.keys()) {
      this.#settle(requestId, 'turnOver');
    }
  }

  #settle(requestId: string, how: Settled): void {
    if (this.#open.delete(requestId)) {
      this.#settled.set(requestId, how);
      const [oldest] = this.#settled.keys();
      if (this.#settled.size > mostSettled && oldest !== undefined) {
        this.#settled.delete(oldest);
      }
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** Most lines say nothing about requests, and need not be parsed to know that. */
function mayMatter(line: Buffer, isAnyOpen: boolean): boolean {
  return line.includes('"control_') || (isAnyOpen && (line.includes('"result"') || line.includes('"tool_result"')));
}

function parsed(line: Buffer): Fields | undefined {
  if (!isUtf8(line)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(line.toString());
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const hole = '\0';
const requestIdOf = /"request_id"\s*:\s*("(?:[^"\\]|\\.)*")/g;

/** Every `control_response` in the last input, with the frame that was the last one when it came. */
function answersIn(input: SessionActivity['input']): readonly { readonly requestId: string; readonly seq: number }[] {
  let text = '';
  let next: number | undefined;
  const ends: { readonly at: number; readonly seq: number }[] = [];
  for (const { seq, offset, aside, length, kept } of input) {
    const parts = kept.map((part) => Buffer.from(part, 'base64').toString('latin1'));
    text += (next === undefined || next === offset ? '' : hole) + parts.join(hole);
    // What went aside takes no place among the bytes that are counted.
    next = aside === undefined ? offset + length : offset;
    ends.push({ at: text.length, seq });
  }
  return [...text.matchAll(requestIdOf)].flatMap((match) => {
    const line = lineAround(text, match.index);
    const seq = ends.find(({ at }) => at >= match.index + match[0].length)?.seq;
    const requestId = line.includes('"control_response"') ? idIn(match[1] ?? '') : undefined;
    return requestId === undefined || seq === undefined ? [] : [{ requestId, seq }];
  });
}

function lineAround(text: string, index: number): string {
  const end = text.indexOf('\n', index);
  return text.slice(text.lastIndexOf('\n', index) + 1, end < 0 ? text.length : end);
}

function idIn(json: string): string | undefined {
  try {
    return JSON.parse(Buffer.from(json, 'latin1').toString()) as string;
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
