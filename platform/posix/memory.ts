/** Giving memory back that an idle process does not need (Linux; docs/performance.md "Memory"). */
import { readFileSync } from 'node:fs';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as libc from '../../native-bindings/libc.ts';

/** Above this size a collection stops the event loop for too long, compared with the memory that it frees. */
const maxCollectedBytes = 64 * 1024 * 1024;
/**
 * Up to this size the collection is thorough: it also drops compiled code that is not used any more. It takes some 5 ms for
 * each MB.
 */
const maxThoroughBytes = 16 * 1024 * 1024;

/**
 * Takes some milliseconds, and so does the next work: it is for the moment when nothing is to be done. The heap is asked for
 * its size, not the process: `process.memoryUsage` throws where there is no /proc.
 */
export function trimMemory(): void {
  // Read before the collection, because the text of the mappings is garbage of its own (1.5 MB of it would stay).
  const mappings = cleanFileMappings();
  // Most of what a start leaves behind is garbage, and the collector waits for more of it.
  if (getHeapStatistics().used_heap_size < maxCollectedBytes) {
    collectGarbage();
  }
  // After the collection, which touches many of these pages.
  dropCleanPages(mappings);
  // glibc keeps freed memory for its next allocations: it gives that back to the system now.
  libc.malloc_trim?.(0);
}

/** Node has the collector as a function only behind a flag of V8, which can be set while it runs. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: (options: object) => void = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  const how = { type: 'major', execution: 'sync' };
  collect({ ...how, flavor: 'regular' });
  // The memory that is left is in use, and its size says how long the thorough collection takes.
  if (getHeapStatistics().used_heap_size < maxThoroughBytes) {
    dropUnusedCode(() => collect({ ...how, flavor: 'last-resort' }));
  }
}

/**
 * By itself V8 keeps the code of a function until six collections have found that it did not run meanwhile, and never drops
 * code for the processor, nor the bytecode that it was made of. What is dropped is compiled again when it is called.
 */
function dropUnusedCode(collect: () => void): void {
  setFlagsFromString('--flush-baseline-code');
  setFlagsFromString('--bytecode-old-age=1');
  collect();
  // The defaults again: a collection in the middle of work must not drop the code of that work.
  setFlagsFromString('--bytecode-old-age=6');
  setFlagsFromString('--no-flush-baseline-code');
}

/**
 * Drops the clean pages of the program's own files from our memory: the kernel has them in its page cache and maps them
 * again when they are touched.
 */
function dropCleanPages(mappings: readonly Mapping[]): void {
  for (const { start, end } of mappings) {
    // A failure leaves the pages where they are.
    libc.madvise?.(start, end - start, libc.MADV_DONTNEED);
  }
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Private file mappings that cannot be written and of which no page is a copy of ours. None where the system cannot tell
 * its mappings.
 */
function cleanFileMappings(): Mapping[] {
  let text: string;
  try {
    text = readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return [];
  }
  const found: Mapping[] = [];
  let candidate: Mapping | undefined;
  for (const line of text.split('\n')) {
    // 7f12a000-7f13b000 r-xp 00001000 fe:01 1234 /usr/lib/libc.so.6
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ (\d+)/.exec(line);
    if (head !== null) {
      const [, start = '', end = '', inode] = head;
      candidate = inode === '0' ? undefined : { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) };
    } else if (/^[0-9a-f]+-/.test(line)) {
      candidate = undefined;
    } else if (candidate !== undefined && /^Anonymous:\s+0 kB/.test(line)) {
      found.push(candidate);
    }
  }
  // The engine keeps the last text that an expression was tried on (RegExp.input), and with a line the whole file.
  /^/.test('');
  return found;
}
