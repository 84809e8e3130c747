/** Writes down what a test client sent and saw (test/tools/raw-connection.ts), as records of a history. */
import { createHash } from 'node:crypto';
import { type OutputFrame, readStreamFrame } from '../support/streams.ts';
import type { Content, HistoryLog, ReplyFields } from './history-records.ts';
import type { ConnectionObserver } from './raw-connection.ts';

/**
 * @param keep `hashes` writes 64 digits for each output frame instead of its bytes, but for the first frame of a
 *   connection and after a jump, where the checker may have to look for the place
 */
export function historyObserver(log: HistoryLog, keep: 'bytes' | 'hashes' = 'bytes'): ConnectionObserver {
  const lastSeq = new Map<string, number>();
  const spawns = new Map<string, string>();

  function content(connection: string, { processId, seq, data }: OutputFrame & { processId: string }): Content {
    const key = `${connection} ${processId}`;
    const follows = lastSeq.get(key) === seq - 1;
    lastSeq.set(key, seq);
    return keep === 'hashes' && follows
      ? { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') }
      : { bytes: data.length, data: data.toString('base64') };
  }

  function takeReply(connection: string, line: Buffer): void {
    const { id: request, result, error } = JSON.parse(line.toString());
    const outcome = error === undefined ? { result: fields(result) } : { error: error.code };
    log.add({ what: 'reply', connection, request, ...outcome });
    const session = spawns.get(`${connection} ${request}`);
    if (session !== undefined && result?.pid !== undefined) {
      log.add({ what: 'spawned', session, pid: result.pid });
    }
  }

  return {
    connected: (connection) => log.add({ what: 'connected', connection }),
    closed: (connection, end) => log.add({ what: 'closed', connection, end }),
    sent(connection, line) {
      const { id: request, method, params } = JSON.parse(line);
      const common = { connection, request, session: params?.id };
      if (method === 'process.spawn') {
        log.add({ what: 'spawn', ...common });
        spawns.set(`${connection} ${request}`, params.id);
      } else if (method === 'process.reattach') {
        log.add({ what: 'reattach', ...common, fromSeq: params.fromSeq ?? 0 });
      } else if (method === 'process.stdin') {
        const { data = '', offset } = params;
        const bytes = Buffer.from(data, 'base64').length;
        log.add({ what: 'stdin', ...common, bytes, data, ...(offset === undefined ? {} : { offset }) });
      }
    },
    received(connection, line) {
      try {
        const frame = readStreamFrame(line);
        if (frame === undefined) {
          takeReply(connection, line);
        } else if (frame.stream === 'exit') {
          const { processId: session, seq, exitCode } = frame;
          log.add({ what: 'exit', connection, session, seq, exitCode });
        } else {
          const { processId: session, stream, seq } = frame;
          log.add({ what: 'frame', connection, session, stream, seq, ...content(connection, frame) });
        }
      } catch {
        log.add({ what: 'garbage', connection, line: line.toString('latin1', 0, 200) });
      }
    },
  };
}

function fields({ found, firstSeq, lastSeq, stdinApplied, applied, duplicate }: ReplyFields): ReplyFields {
  return JSON.parse(JSON.stringify({ found, firstSeq, lastSeq, stdinApplied, applied, duplicate }));
}
