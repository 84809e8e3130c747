/** What the wire log asks of a frame: whether it is JSON, and which request it is or answers. */
import { canonicalId, plainId } from '../../../wire/json-id.ts';
import { KeyTable } from '../../../wire/json-keys.ts';
import { ascii, JsonScanner } from '../../../wire/json-scanner.ts';
import type { Steps } from '../../../wire/steps.ts';

export interface Envelope {
  /** Canonical JSON, the same in a request and its reply, however the client spells it. */
  readonly idText: string | undefined;
  readonly method: string | undefined;
}

const keys = new KeyTable(['id', 'method']);
const [idKey, methodKey] = [0, 1];

/** @returns `undefined` for what is no JSON; an empty envelope for JSON that is no object */
export function* readEnvelope(frame: Buffer): Steps<Envelope | undefined> {
  const scanner = new JsonScanner(frame, 0, frame.length);
  let idText: string | undefined;
  let method: string | undefined;
  scanner.skipSpace();
  if (scanner.peek() !== ascii.openBrace) {
    return (yield* scanner.scanValue(0)) && scanner.isAtEnd() ? { idText, method } : undefined;
  }
  scanner.position++;
  let more = !scanner.take(ascii.closeBrace);
  while (more) {
    if (!scanner.scanKey()) {
      return undefined;
    }
    const key = keys.find(scanner);
    const start = scanner.position;
    if (key === methodKey && scanner.peek() === ascii.quote && scanner.scanString()) {
      method = scanner.text();
    } else if (!(scanner.scanSmall() ?? (yield* scanner.scanValue(1)))) {
      return undefined;
    } else if (key === idKey) {
      scanner.goBack(start);
      idText = plainId(scanner) ?? (yield* canonicalId(scanner));
    }
    if (scanner.endsStep()) {
      yield;
    }
    more = scanner.take(ascii.comma);
    if (!more && !scanner.take(ascii.closeBrace)) {
      return undefined;
    }
  }
  return scanner.isAtEnd() ? { idText, method } : undefined;
}
