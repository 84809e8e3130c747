/**
 * The daemon's log: one JSON object a line, information on stdout, warnings and errors on stderr (spec mesh.md §13). No line
 * carries the local token, a secret key or the text of a message.
 */
import { Secrets } from '../../base/secrets.ts';

/** What JSON leaves as it is and a terminal obeys: C1 controls, DEL, marks of direction, separators of lines. */
const obeyed = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** JSON in one line that steers no terminal (threat 10 of docs/security.md). */
export function jsonLine(value: object): string {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(obeyed, escaped);
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface MeshLogOutputs {
  print(text: string): void;
  complain(text: string): void;
}

export class MeshLog {
  readonly #outputs: MeshLogOutputs;
  readonly #secrets = new Secrets();

  constructor(outputs: MeshLogOutputs) {
    this.#outputs = outputs;
  }

  /** From now on no line shows it. */
  redact(secret: string): void {
    this.#secrets.add(secret);
  }

  /** For what is told elsewhere: answers, plain lines. */
  safe(text: string): string {
    return this.#secrets.hide(text);
  }

  info(msg: string, fields: LogFields = {}): void {
    this.#outputs.print(this.#line({ msg, ...fields }));
  }

  warn(msg: string, fields: LogFields = {}): void {
    this.#outputs.complain(this.#line({ level: 'warn', msg, ...fields }));
  }

  error(msg: string, fields: LogFields = {}): void {
    this.#outputs.complain(this.#line({ level: 'error', msg, ...fields }));
  }

  /** A line of the contract that is no JSON. */
  plain(text: string): void {
    this.#outputs.complain(`${this.safe(text)}\n`);
  }

  #line(fields: LogFields): string {
    return `${this.safe(jsonLine({ ...fields, ts: new Date().toISOString() }))}\n`;
  }
}
