/**
 * A frame as the wire log shows it: the client's own text, with secrets taken out by the names of their keys and long
 * strings cut (spec modes.md §15). The text is walked through, not built up as a value: numbers stay as they were
 * spelled, and a frame that is no JSON loses its secrets too.
 */
import type { Steps } from '../../../wire/steps.ts';

const redacted = '"[redacted]"';

/** Names that hold a secret, upper and lower case, dashes and underscores aside. */
const secretName =
  /auth$|token|secret|passw|passphrase|apikey|accesskey|privatekey|signingkey|sessionkey|credential|authorization|bearer|cookie|jwt$|^pat$/;
/** `GITHUB_PAT`, but not `repeat`. */
const secretVariable = /_PAT$/;
/** About a secret, and none: where to get one, what for, until when, how many. */
const harmlessName = /url$|uri$|endpoint$|scopes?$|expir|type$|count$|limit$|path$|file$|fd$|sock$/;

export interface FrameOptions {
  /** Longest string in characters; 0: whole. */
  readonly maxString: number;
  /** Takes known secrets out of a text. */
  hide(text: string): Steps<string>;
}

interface Level {
  readonly isObject: boolean;
  /** Everything below is a secret, unless its name says otherwise. */
  readonly secret: boolean;
}

/** A string, a bracket, a separator, or a run of anything else. An unfinished string reaches to the end. */
const piece = /"(?:[^"\\]|\\.)*(?:"|\\?$)|[{}[\],:]|[^"{}[\],:]+/gs;

const piecesOfStep = 4096;

/** The frame's text, ready for the log; JSON as it came stays JSON. */
export function* showFrame(text: string, options: FrameOptions): Steps<string> {
  /** What is shown otherwise, and what stands before it. */
  const out: string[] = [];
  let from = 0;
  let pieces = 0;
  const levels: Level[] = [];
  let level: Level = { isObject: false, secret: false };
  /** Of the value that comes next. */
  let secret = false;
  let atKey = false;
  for (const { 0: found, index } of text.matchAll(piece)) {
    pieces++;
    if (pieces % piecesOfStep === 0) {
      yield;
    }
    let shown = found;
    switch (found) {
      case '{':
      case '[':
        levels.push(level);
        level = { isObject: found === '{', secret };
        atKey = level.isObject;
        break;
      case '}':
      case ']':
        level = levels.pop() ?? { isObject: false, secret: false };
        atKey = false;
        break;
      case ',':
        atKey = level.isObject;
        secret = level.secret;
        break;
      case ':':
        atKey = false;
        break;
      default:
        if (atKey && found.startsWith('"')) {
          const name = decoded(found);
          secret = isSecret(name, level.secret);
          const safe = yield* options.hide(name);
          shown = safe === name ? found : JSON.stringify(safe);
        } else {
          shown = yield* shownValue(found, secret, options);
        }
    }
    if (shown !== found) {
      out.push(text.slice(from, index), shown);
      from = index + found.length;
    }
  }
  return out.join('') + text.slice(from);
}

function isSecret(name: string, inherited: boolean): boolean {
  const plain = name.toLowerCase().replace(/[-_. ]/g, '');
  if (harmlessName.test(plain)) {
    return false;
  }
  return inherited || secretName.test(plain) || secretVariable.test(name);
}

/** A shorter number counts something. */
const secretDigits = /\d{6}/;

function* shownValue(found: string, secret: boolean, { maxString, hide }: FrameOptions): Steps<string> {
  if (!found.startsWith('"')) {
    // A secret may be a number too.
    return (secret && secretDigits.test(found)) || (yield* hide(found)) !== found ? redacted : found;
  }
  if (secret) {
    return redacted;
  }
  const value = decoded(found);
  const safe = yield* hide(value);
  if (maxString > 0 && safe.length > maxString) {
    return JSON.stringify(cut(safe, maxString, Buffer.byteLength(value)));
  }
  return safe === value ? found : JSON.stringify(safe);
}

function cut(text: string, maxString: number, bytes: number): string {
  const head = text.slice(0, maxString);
  // A character of two units is not torn apart.
  const whole = /[\ud800-\udbff]$/.test(head) ? head.slice(0, -1) : head;
  return `${whole}\u2026 (${bytes} bytes total)`;
}

/** The text of a JSON string; of something that is none, what stands between the quotes. */
function decoded(found: string): string {
  try {
    return JSON.parse(found);
  } catch {
    return found.replace(/^"|"$/g, '');
  }
}
