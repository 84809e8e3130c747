/** What a reparse point is, by its tag ([MS-FSCC] 2.1.2.1). Pure: it is tested on every system. */

/** Set in tags of entries that stand for another place in the system: symbolic links, junctions, mounted volumes. */
const nameSurrogate = 0x2000_0000;

/**
 * Whether the entry leads to another place. Placeholders of cloud drives, deduplicated or compressed files and app
 * aliases are reparse points too, and are the file or folder they look like.
 */
export function leadsElsewhere(tag: number): boolean {
  return (tag & nameSurrogate) !== 0;
}
