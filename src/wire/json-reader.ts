/** Reads a request line (spec wire.md §3). */
import type { JsonSlice } from './json.ts';
import { canonicalId, plainId } from './json-id.ts';
import { KeyTable } from './json-keys.ts';
import { ascii, JsonScanner } from './json-scanner.ts';
import type { Steps } from './steps.ts';

/** The envelope of a request. Keys that were not sent, or sent as `null`, are empty; `params` alone tells the two apart. */
export interface Request {
  /** The id in canonical JSON, ready for the reply; `'null'` when absent. */
  readonly idText: string;
  readonly jsonrpc: string;
  readonly method: string;
  /** UTF-8 of the decoded text, for a constant-time comparison. May be a view of the line, so compare before the next read. */
  readonly auth: Buffer;
  /** A view of the line: whoever needs it after the next read copies the line first. `undefined`: the key was not sent. */
  readonly params: JsonSlice | undefined;
}

const keys = new KeyTable(['jsonrpc', 'id', 'method', 'params', 'auth']);
const [jsonrpcKey, idKey, methodKey, paramsKey, authKey] = [0, 1, 2, 3, 4];

const empty = Buffer.alloc(0);

/** @returns `undefined` where the line must be answered with `Parse error` */
export function* readRequest(line: Buffer): Steps<Request | undefined> {
  const scanner = new JsonScanner(line, 0, line.length);
  let idText = 'null';
  let jsonrpc = '';
  let method = '';
  let auth: Buffer = empty;
  let params: JsonSlice | undefined;

  if (!scanner.take(ascii.openBrace)) {
    // The one other value that counts as a request, an empty one.
    if (!scanner.scanLiteral('null') || !scanner.isAtEnd()) {
      return undefined;
    }
    return { idText, jsonrpc, method, auth, params };
  }

  let more = !scanner.take(ascii.closeBrace);
  while (more) {
    if (!scanner.scanKey()) {
      return undefined;
    }
    const key = keys.find(scanner);
    const start = scanner.position;
    if (key === jsonrpcKey || key === methodKey || key === authKey) {
      // A null leaves what an earlier repeat of the key said; any other type is an error even if repeated later.
      if (scanner.peek() === ascii.quote && scanner.scanString()) {
        if (key === jsonrpcKey) {
          jsonrpc = scanner.text();
        } else if (key === methodKey) {
          method = scanner.text();
        } else {
          auth = scanner.textIsPlain ? line.subarray(scanner.textStart, scanner.textEnd) : Buffer.from(scanner.text());
        }
      } else if (!scanner.scanLiteral('null')) {
        return undefined;
      }
    } else if (key === idKey) {
      const canonical = plainId(scanner) ?? (yield* scannedId(scanner));
      if (canonical === undefined) {
        return undefined;
      }
      idText = canonical;
    } else if (!(scanner.scanSmall() ?? (yield* scanner.scanValue(1)))) {
      return undefined;
    } else if (key === paramsKey) {
      params = { bytes: line, start, end: scanner.position };
    }
    if (scanner.endsStep()) {
      yield;
    }
    more = scanner.take(ascii.comma);
    if (!more && !scanner.take(ascii.closeBrace)) {
      return undefined;
    }
  }
  return scanner.isAtEnd() ? { idText, jsonrpc, method, auth, params } : undefined;
}

/** @returns `undefined` for what is no JSON or has a number that overflows a double */
function* scannedId(scanner: JsonScanner): Steps<string | undefined> {
  const start = scanner.position;
  if (!(yield* scanner.scanValue(1))) {
    return undefined;
  }
  scanner.goBack(start);
  return yield* canonicalId(scanner);
}
