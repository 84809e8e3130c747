/** The last lines that a session has written to its error output, and what of its output nobody has any more. */
import { HoldfastError, type Host, type SessionInfo } from '../../client/index.ts';

export interface LastWords {
  /** The last lines of the error output, at most 20. */
  readonly stderr: readonly string[];
  /** Frames that are gone. */
  readonly gaps: readonly { readonly from: number; readonly to: number }[];
}

const lines = 20;
/** Of a line without end only this much is kept. */
const keptBytes = 64 * 1024;

export async function lastWordsOf(host: Host, session: SessionInfo): Promise<LastWords> {
  const { id, firstSeq, lastSeq, errBytes } = session;
  const gaps = firstSeq > 1 ? [{ from: 1, to: firstSeq - 1 }] : [];
  if (errBytes === 0 || lastSeq < firstSeq || lastSeq === 0) {
    return { stderr: [], gaps };
  }
  let kept = Buffer.alloc(0);
  try {
    const observed = await host.observe(id, { fromSeq: Math.max(0, firstSeq - 1), onGap: 'continue' });
    for await (const event of observed.events) {
      if (event.type === 'stderr') {
        kept = Buffer.concat([kept, event.data]).subarray(-keptBytes);
      } else if (event.type === 'gap') {
        gaps.push({ from: event.from, to: event.to });
      }
      if ((event.type === 'gap' ? event.to : event.seq) >= lastSeq) {
        break;
      }
    }
  } catch (error) {
    // The daemon may end, or forget the session, while we look.
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
  }
  const text = kept.toString('utf8');
  return { stderr: (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n').slice(-lines), gaps };
}
