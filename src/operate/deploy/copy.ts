/**
 * The executable on its way to another host: what an earlier copy left is not sent again, the whole is verified there and
 * tried, and only then gets its name, in one step.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { timings } from '../../base/timings.ts';
import { HoldfastError } from '../../client/index.ts';
import { type Executable, megabytes } from './executable.ts';
import { type RemoteHost, runScript, type Told } from './remote-script.ts';
import type { Copied, OnProgress } from './way.ts';

export interface Destination {
  readonly folder: string;
  /** Of the file in it. */
  readonly name: string;
  /** For errors: what the host has. */
  readonly libc: string;
}

/** The unit in which a cut copy is continued. */
const blockBytes = 65_536;

const functions = [
  'F=$1/$2; D=$1; Z=$3; S=$4; P=$D/.holdfast-$5.part',
  'size() { if [ -f "$1" ]; then wc -c <"$1" | tr -d " "; else echo 0; fi; }',
  'sum() { { sha256sum <"$1" || shasum -a 256 <"$1" || openssl dgst -sha256 -r <"$1"; } 2>/dev/null | cut -c 1-64; }',
  'line() { echo "$1" | head -n 1; }',
  'disk() { df -Pk "$D" 2>/dev/null | tail -n 1; }',
  // Ends the script, with the reason.
  'end() { say state "$1"; say why "$(line "$2")"; say disk "$(disk)"; say end yes; exit 0; }',
  'if [ "$(size "$F")" = "$Z" ] && [ "$(sum "$F")" = "$S" ]; then end there ""; fi',
];

const copying = [
  'E=$(mkdir -p "$D" 2>&1) || end failed "$E"',
  '[ -n "$(echo | sum /dev/null)" ] || end nohash ""',
  'say disk "$(disk)"',
  'B=$(($(size "$P") / 65536))',
  'say have "$B"',
  // In blocks at their place: a copy that was cut and still runs writes the same bytes to the same places.
  'E=$(dd bs=65536 seek="$B" conv=notrunc of="$P" 2>&1); C=$?',
  '[ -s "$P" ] || rm -f "$P"',
  'if [ "$C" -gt 0 ]; then case $E in *space* | *quota* | *large*) rm -f "$P" ;; esac; end failed "$E"; fi',
  'if [ "$(size "$P")" -lt "$Z" ]; then end short ""; fi',
  'if [ "$(sum "$P")" = "$S" ]; then :; else rm -f "$P"; end damaged ""; fi',
  'chmod 755 "$P" || end failed chmod',
  'V=$("$P" -version 2>&1) || { rm -f "$P"; end norun "$V"; }',
  'E=$(mv -f "$P" "$F" 2>&1) || end failed "$E"',
  'say state placed',
];

/** Looks only. */
export async function isThere(host: RemoteHost, executable: Executable, to: Destination): Promise<Copied> {
  const told = await runScript(host, [...functions, 'say state missing'], scriptWords(executable, to));
  return { state: told.get('state') === 'there' ? 'there' : 'missing', continuedAt: 0 };
}

/** @throws HoldfastError with what stands in the way and what to do about it */
export async function copy(
  host: RemoteHost,
  executable: Executable,
  to: Destination,
  onProgress: OnProgress,
): Promise<Copied> {
  for (let attempt = 1; ; attempt++) {
    const { told, continuedAt, refusal } = await send(host, executable, to, onProgress);
    if (refusal !== undefined) {
      throw refusal;
    }
    const state = told.get('state');
    if (state === 'there' || state === 'placed') {
      return { state, continuedAt };
    }
    // The part that was left by an earlier copy was not of this file; it is removed, so now all of it is sent.
    if (state !== 'damaged' || attempt > 1) {
      throw failure(host, executable, to, told);
    }
  }
}

function scriptWords({ bytes, sha256 }: Executable, { folder, name }: Destination): string[] {
  return [folder, name, String(bytes.length), sha256, sha256.slice(0, 16)];
}

interface Sent {
  readonly told: Told;
  readonly continuedAt: number;
  /** Seen before anything was sent. */
  readonly refusal: HoldfastError | undefined;
}

async function send(host: RemoteHost, executable: Executable, to: Destination, onProgress: OnProgress): Promise<Sent> {
  const all = executable.bytes.length;
  const stalled = new AbortController();
  let continuedAt: number | undefined;
  let refusal: HoldfastError | undefined;
  const told = await runScript(host, [...functions, ...copying], scriptWords(executable, to), {
    signal: stalled.signal,
    talk(now, input) {
      const have = now.get('have');
      if (have === undefined || continuedAt !== undefined) {
        if (now.get('end') !== undefined) {
          input.end();
        }
        return;
      }
      continuedAt = Math.min(Number(have) * blockBytes, all);
      refusal = diskRefusal(host, to, now.get('disk'), all - continuedAt);
      if (refusal !== undefined) {
        input.end();
        return;
      }
      void pump(executable.bytes, continuedAt, input, onProgress, stalled, host.destination);
    },
  });
  return { told, continuedAt: continuedAt ?? 0, refusal };
}

/** Gives the rest to ssh as fast as it takes it. A connection that breaks is told by ssh itself. */
async function pump(
  bytes: Buffer,
  from: number,
  input: Writable,
  onProgress: OnProgress,
  stalled: AbortController,
  destination: string,
): Promise<void> {
  const giveUp = (): void =>
    stalled.abort(
      new HoldfastError(
        'refused',
        `the connection to ${destination} has taken nothing for ${timings.deployStallMs / 1000} s; what has arrived stays there: run the command again to go on`,
      ),
    );
  const gone = once(input, 'close').catch(() => {});
  for (let at = from; at < bytes.length && !input.destroyed; at += blockBytes) {
    onProgress(at, bytes.length);
    if (!input.write(bytes.subarray(at, at + blockBytes))) {
      const timer = setTimeout(giveUp, timings.deployStallMs);
      await Promise.race([once(input, 'drain').catch(() => {}), gone]);
      clearTimeout(timer);
    }
  }
  onProgress(bytes.length, bytes.length);
  input.end();
}

/** The last line of `df -P`: file system, blocks, used, available, percentage, mounted on. */
function freeOf(line: string | undefined): { readonly bytes: number; readonly mount: string } | undefined {
  const [, available, mount] = /\s(\d+)\s+\d+%\s+(\/.*)$/.exec(line ?? '') ?? [];
  return available === undefined || mount === undefined ? undefined : { bytes: Number(available) * 1024, mount };
}

function diskRefusal(
  { destination }: RemoteHost,
  { folder }: Destination,
  line: string | undefined,
  needed: number,
): HoldfastError | undefined {
  const free = freeOf(line);
  return free === undefined || free.bytes >= needed
    ? undefined
    : new HoldfastError(
        'unsupported',
        `the disk of ${folder} on ${destination} (${free.mount}) has ${megabytes(free.bytes)} left and ${megabytes(needed)} are needed; make room there, or choose another folder with --to`,
      );
}

function failure(
  { destination }: RemoteHost,
  { path, bytes, glibc }: Executable,
  to: Destination,
  told: Told,
): HoldfastError {
  const refuse = (text: string): HoldfastError => new HoldfastError('unsupported', text);
  const why = told.get('why') || 'without a reason';
  switch (told.get('state')) {
    case 'nohash':
      return refuse(
        `${destination} has none of sha256sum, shasum and openssl, so the copy cannot be verified there; install one`,
      );
    case 'short':
      return refuse(`the copy to ${destination} was cut; what has arrived stays there: run the command again to go on`);
    case 'damaged':
      return refuse(
        `what arrived in ${to.folder} on ${destination} does not have the SHA-256 of ${path}, twice; it is removed there. Is its disk in order?`,
      );
    case 'norun': {
      const libcs =
        glibc === undefined ? '' : `; it needs glibc ${glibc}, the host has ${to.libc || 'an unknown C library'}`;
      const remedy = /denied/i.test(why)
        ? '; choose a folder on a file system that allows programs to run, with --to'
        : '';
      return refuse(`the program does not run on ${destination}: ${why}${libcs}${remedy}`);
    }
    default: {
      const free = freeOf(told.get('disk'));
      const room = free === undefined ? '' : ` (${free.mount}: ${megabytes(free.bytes)} left)`;
      return refuse(
        `${to.folder} on ${destination} could not take ${megabytes(bytes.length)}: ${why}${room}; make room there, or choose another folder with --to`,
      );
    }
  }
}
