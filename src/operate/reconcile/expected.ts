/** What a control plane expects to run here: `--expect FILE` (spec operators.md "reconcile"). */
import { readFileSync } from 'node:fs';

/** The values of CT-1 as they were stored. */
export interface ExpectedProcess {
  readonly pid: number;
  /** Seconds since the epoch, as the reply of the spawn told it. */
  readonly startTime: number;
  readonly id?: string;
  /** Name of the host it was started on. */
  readonly host?: string;
}

export class ExpectationError extends Error {}

/** @param file `-`: standard input. @throws ExpectationError that names the line */
export function readExpected(file: string): readonly ExpectedProcess[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new ExpectationError(`${file} cannot be read: ${(error as Error).message}`);
  }
  return parseExpected(text, file);
}

/** JSON lines, or one list. */
export function parseExpected(text: string, name: string): readonly ExpectedProcess[] {
  if (text.trimStart().startsWith('[')) {
    const list = parse(text, name);
    return (list as unknown[]).map((row, index) => checked(row, `${name}, entry ${index + 1}`));
  }
  return text
    .split('\n')
    .map((line, index) => ({ line, place: `${name}:${index + 1}` }))
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, place }) => checked(parse(line, place), place));
}

function parse(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ExpectationError(`${place}: no JSON: ${(error as Error).message}`);
  }
}

function checked(row: unknown, place: string): ExpectedProcess {
  const { pid, startTime, id, host } = (row ?? {}) as Partial<Record<keyof ExpectedProcess, unknown>>;
  const isPid = Number.isSafeInteger(pid) && (pid as number) > 0 && (pid as number) < 2 ** 31;
  const isTime = typeof startTime === 'number' && Number.isFinite(startTime) && startTime >= 0;
  const areTexts = [id, host].every((value) => value === undefined || typeof value === 'string');
  if (!isPid || !isTime || !areTexts) {
    throw new ExpectationError(
      `${place}: want {"pid":<number>,"startTime":<seconds>[,"id":<text>][,"host":<text>]}, as process.spawn told them`,
    );
  }
  return row as ExpectedProcess;
}
