/** The agent's log: plain lines `[LEVEL] text` (spec agent.md §12). No line carries the token, or a byte a terminal obeys. */
import { printable } from '../../base/printable.ts';
import { Secrets } from '../../base/secrets.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type AgentLogLevel = (typeof levels)[number];

export interface AgentLogOutputs {
  /** INFO and DEBUG. */
  print(text: string): void;
  /** WARN and ERROR. */
  complain(text: string): void;
}

export class AgentLog {
  readonly #outputs: AgentLogOutputs;
  readonly #secrets = new Secrets();
  #least: AgentLogLevel = 'info';

  constructor(outputs: AgentLogOutputs) {
    this.#outputs = outputs;
  }

  set level(level: AgentLogLevel) {
    this.#least = level;
  }

  /** From now on no line shows it. */
  redact(secret: string): void {
    this.#secrets.add(secret);
  }

  /** For what goes to the server as an error report. */
  safe(text: string): string {
    return printable(this.#secrets.hide(text));
  }

  debug(text: string): void {
    this.#write('debug', text);
  }

  info(text: string): void {
    this.#write('info', text);
  }

  warn(text: string): void {
    this.#write('warn', text);
  }

  error(text: string): void {
    this.#write('error', text);
  }

  #write(level: AgentLogLevel, text: string): void {
    if (levels.indexOf(level) < levels.indexOf(this.#least)) {
      return;
    }
    const line = `[${level.toUpperCase()}] ${this.safe(text)}\n`;
    if (level === 'debug' || level === 'info') {
      this.#outputs.print(line);
    } else {
      this.#outputs.complain(line);
    }
  }
}
