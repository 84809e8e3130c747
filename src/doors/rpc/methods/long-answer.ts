/**
 * An answer of any size, made piece by piece: nobody waits while it is made, it is made when there is room to send it, and
 * what it takes counts against the memory budget while it grows.
 */
import { constants } from 'node:buffer';
import { Turns } from '../../../base/take-turns.ts';
import { JsonText, type ResultObject, type ResultValue } from '../../../wire/json.ts';
import { JsonStringPieces } from '../../../wire/json-pieces.ts';
import { encodeResult } from '../../../wire/json-writer.ts';
import { Answer, type AnswerRoom, type Client } from './method.ts';

/** Up to here an answer is one text like any other. */
const shortBytes = 256 * 1024;
/** Elements of a list that are written without a look at the clock. */
const elementsAtOnce = 256;

/** The result is written member by member, in the order of the calls. */
export class LongAnswer {
  readonly #client: Client;
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  #room: AnswerRoom | undefined;
  #text: JsonStringPieces | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Waits until about so many bytes of an answer may be made. @throws MemoryBudgetReached, EngineFailure when the client has gone */
  async room(bytes: number): Promise<void> {
    this.#room = await this.#client.answerRoom(bytes);
  }

  member(name: string, value: ResultValue): void {
    // An object of one member, without its braces.
    this.#put(Buffer.from(`${this.#separator}${encodeResult({ [name]: value }).slice(1, -1)}`));
  }

  /** A string whose bytes follow by `add`, and end with `endString`. */
  beginString(name: string): void {
    this.#put(Buffer.from(`${this.#separator}${encodeResult({ [name]: '' }).slice(1, -2)}`));
    this.#text = new JsonStringPieces();
  }

  /** @returns `false`: no reply can be so long */
  add(piece: Buffer): boolean {
    if (this.#text !== undefined) {
      this.#put(this.#text.add(piece));
    }
    return this.#bytes <= constants.MAX_STRING_LENGTH;
  }

  endString(): void {
    if (this.#text !== undefined) {
      this.#put(this.#text.end());
      this.#put(Buffer.from('"'));
    }
    this.#text = undefined;
  }

  /** A list, with turns for others in between. */
  async list<T>(name: string, items: readonly T[], element: (item: T) => ResultObject): Promise<void> {
    const turns = new Turns();
    this.#put(Buffer.from(`${this.#separator}${encodeResult({ [name]: new JsonText('[') }).slice(1, -1)}`));
    for (let at = 0; at < items.length; at += elementsAtOnce) {
      const some = items.slice(at, at + elementsAtOnce).map((item) => encodeResult(element(item)));
      this.#put(Buffer.from(`${at === 0 ? '' : ','}${some.join(',')}`));
      await turns.pause();
    }
    this.#put(Buffer.from(']'));
  }

  get #separator(): string {
    return this.#parts.length === 0 ? '' : ',';
  }

  /** @throws MemoryBudgetReached */
  #put(part: Buffer): void {
    if (part.length > 0) {
      this.#room?.grow(part.length);
      this.#parts.push(part);
      this.#bytes += part.length;
    }
  }

  /** Nothing can be added any more. */
  finish(): Answer<never> {
    const room = this.#room;
    const afterwards = (): void => room?.[Symbol.dispose]();
    if (this.#bytes > shortBytes) {
      return new Answer<never>([Buffer.from('{'), ...this.#parts, Buffer.from('}')], { afterwards });
    }
    const text = Buffer.concat(this.#parts).toString();
    return new Answer<never>(new JsonText(`{${text}}`), { afterwards });
  }

  abandon(): void {
    this.#room?.[Symbol.dispose]();
  }
}

/** @throws what `make` throws */
export async function answerLong(client: Client, make: (answer: LongAnswer) => Promise<void>): Promise<Answer<never>> {
  const answer = new LongAnswer(client);
  try {
    await make(answer);
    return answer.finish();
  } catch (error) {
    answer.abandon();
    throw error;
  }
}
