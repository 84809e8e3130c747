/** Which refusals of a broker are final (spec mesh.md §8). */

const permanent =
  /payload[_ ]too[_ ]large|forbidden|not_found|invalid|schema|auth|signature|blocked by recipient grants/i;
/**
 * A name in quotes is somebody else's word: a peer called `schema-bot` is no reason to give up. An apostrophe within a word
 * quotes nothing.
 */
const quoted = /"[^"]*"|(?<!\w)'[^']*'(?!\w)|`[^`]*`|“[^”]*”/g;

/** @param error the text of a broker's ack; errors of our own (a name that resolves to no peer, a lost connection) are never final */
export function isPermanentError(error: string): boolean {
  return permanent.test(error.replace(quoted, '""'));
}
