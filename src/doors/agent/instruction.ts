/** Orders of the server as they come (spec agent.md §5, §6). Nothing in them is believed before it was looked at. */

export type Instruction = {
  readonly id: string;
  readonly sessionId: string;
} & (
  | { readonly type: 'start_session'; readonly start: StartOrder }
  | { readonly type: 'command'; readonly input: InputOrder }
  | { readonly type: 'terminate_session'; readonly graceMs: number | undefined }
);

export interface StartOrder {
  /** Sent as the first command. */
  readonly prompt: string | undefined;
  readonly cwd: string | undefined;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Session of the agent CLI to go on with. */
  readonly resume: string | undefined;
}

export type InputOrder = { readonly text: string } | { readonly raw: Buffer };

export type InstructionRead =
  | { readonly instruction: Instruction }
  /** `id`, `sessionId`: what of it can be used. */
  | { readonly fault: string; readonly id: string | undefined; readonly sessionId: string | undefined };

const name = /^[A-Za-z0-9._:-]{1,128}$/;
const mostCommandBytes = 262_144;
const longestGraceMs = 60_000;

export function readInstruction(value: unknown): InstructionRead {
  const order = asObject(value);
  const id = nameIn(order?.id);
  const sessionId = nameIn(order?.sessionId);
  const bad = (fault: string): InstructionRead => ({ fault, id, sessionId });
  if (order === undefined) {
    return bad('it is no object');
  }
  if (id === undefined) {
    return bad('its id is missing or no name of up to 128 characters');
  }
  if (sessionId === undefined) {
    return bad('its sessionId is missing or no name of up to 128 characters');
  }
  const payload = order.payload === undefined || order.payload === null ? {} : asObject(order.payload);
  if (payload === undefined) {
    return bad('its payload is no object');
  }
  switch (order.type) {
    case 'start_session': {
      const start = readStart(payload);
      return typeof start === 'string' ? bad(start) : { instruction: { id, sessionId, type: order.type, start } };
    }
    case 'command': {
      const input = readInput(payload);
      return typeof input === 'string' ? bad(input) : { instruction: { id, sessionId, type: order.type, input } };
    }
    case 'terminate_session': {
      const { gracePeriod: graceMs } = payload;
      const isGrace = typeof graceMs === 'number' && graceMs >= 0 && graceMs <= longestGraceMs;
      if (graceMs !== undefined && !isGrace) {
        return bad(`gracePeriod must be a number from 0 to ${longestGraceMs}`);
      }
      return { instruction: { id, sessionId, type: order.type, graceMs: isGrace ? graceMs : undefined } };
    }
    default:
      return bad('its type is unknown');
  }
}

/** @returns what is wrong as a text */
function readStart({ prompt, cwd, args = [], env = {}, resume }: Record<string, unknown>): StartOrder | string {
  const variables = asObject(env);
  if (!isOptionalText(prompt) || !isOptionalText(cwd) || !isOptionalText(resume)) {
    return 'prompt, cwd and resume must be texts';
  }
  if (typeof prompt === 'string' && !fits(prompt)) {
    return `prompt must have up to ${mostCommandBytes} bytes`;
  }
  if (!Array.isArray(args) || !args.every((word) => isWord(word))) {
    return 'args must be a list of texts without NUL';
  }
  if (variables === undefined || !Object.values(variables).every((text) => isWord(text))) {
    return 'env must be an object of texts without NUL';
  }
  return {
    prompt: prompt === '' ? undefined : prompt,
    cwd: cwd === '' ? undefined : cwd,
    args: args as string[],
    env: variables as Record<string, string>,
    resume: resume === '' ? undefined : resume,
  };
}

/** @returns what is wrong as a text */
function readInput({ command, raw }: Record<string, unknown>): InputOrder | string {
  if (typeof raw === 'string' && command === undefined) {
    const bytes = Buffer.from(raw, 'base64');
    const isBase64 = bytes.toString('base64').replace(/=+$/, '') === raw.replace(/=+$/, '');
    return isBase64 && bytes.length > 0 && bytes.length <= mostCommandBytes
      ? { raw: bytes }
      : `raw must be base64 of 1 to ${mostCommandBytes} bytes`;
  }
  return typeof command === 'string' && command !== '' && fits(command)
    ? { text: command }
    : `command must be a text of 1 to ${mostCommandBytes} bytes`;
}

function fits(text: string): boolean {
  return Buffer.byteLength(text) <= mostCommandBytes;
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function nameIn(value: unknown): string | undefined {
  return typeof value === 'string' && name.test(value) ? value : undefined;
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || isWord(value);
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && !value.includes('\0');
}
