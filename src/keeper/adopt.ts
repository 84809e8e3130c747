/** Whether there is a keeper for this run directory, and whether it is the one its record says (spec durable.md §4). */

import type { Platform } from '../../platform/platform.ts';
import { keeperRecordName } from '../../platform/published-names.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { messageOf } from '../base/error-texts.ts';
import { failpointAsync } from '../base/failpoints.ts';
import { Channel, ChannelReads } from './channel/channel.ts';
import { type Agreed, greetKeeper, HandshakeError, type Release } from './channel/handshake.ts';
import { identityOf, type KeeperRecord, maxRecordBytes, parseRecord } from './record.ts';

export type Adoption =
  | { readonly verdict: 'none' }
  /** The keeper of the record has ended. */
  | { readonly verdict: 'dead'; readonly pid: number; readonly because: string }
  /** Somebody may be there, and is left alone: nothing is signalled or removed. */
  | { readonly verdict: 'refused'; readonly pid: number | undefined; readonly because: string }
  | { readonly verdict: 'tooNew'; readonly record: KeeperRecord; readonly peer: Release }
  | { readonly verdict: 'adopted'; readonly record: KeeperRecord; readonly channel: Channel; readonly agreed: Agreed };

export interface AdoptOptions {
  readonly platform: Pick<Platform, 'processes' | 'transport'>;
  readonly directory: RunDirectory;
  readonly own: Release;
  readonly answerMs: number;
}

/** Looks, and opens the channel when everything matches. Never fails. */
export async function adopt(options: AdoptOptions): Promise<Adoption> {
  const text = options.directory.readText(keeperRecordName, maxRecordBytes);
  if (text === undefined) {
    return { verdict: 'none' };
  }
  const record = parseRecord(text);
  if (typeof record === 'string') {
    return refused(undefined, `${keeperRecordName} is no record of a keeper: ${record}`);
  }
  const gone = whyGone(record, options);
  if (gone?.verdict === 'dead') {
    // A record that does not say the truth about a keeper that lives must not cost that keeper its socket.
    const listener = await listenerOf(record, options);
    return listener === undefined
      ? gone
      : refused(record.pid, `${gone.because}, but ${listener} listens on its socket`);
  }
  if (gone !== undefined) {
    return gone;
  }
  await failpointAsync('adopt.dial.before');
  const adoption = await open(record, options);
  return adoption.verdict === 'refused' ? (whyEnded(record, options) ?? adoption) : adoption;
}

/** What was not right may have been its end, in which it takes its record away. `undefined`: it has not ended. */
function whyEnded(record: KeeperRecord, options: AdoptOptions): Adoption | undefined {
  const isRecorded = options.directory.readText(keeperRecordName, maxRecordBytes) !== undefined;
  return isRecorded ? whyGone(record, options) : { verdict: 'none' };
}

function refused(pid: number | undefined, because: string): Adoption {
  return { verdict: 'refused', pid, because };
}

/** By what the system says about the process. `undefined`: it is alive. */
function whyGone(record: KeeperRecord, { platform }: AdoptOptions): Adoption | undefined {
  const { pid } = record;
  const dead = (because: string): Adoption => ({ verdict: 'dead', pid, because });
  const wanted = identityOf(record);
  const own = platform.processes.self();
  if (wanted.node !== own.node) {
    const sameBoot = wanted.node?.split('/')[0] === own.node?.split('/')[0];
    return sameBoot ? refused(pid, 'it belongs to another pid namespace') : dead(`pid ${pid} was of another boot`);
  }
  const found = platform.processes.identify(pid);
  if (found === undefined) {
    return dead(`pid ${pid} is gone`);
  }
  return found.start === wanted.start ? undefined : dead(`pid ${pid} is another process`);
}

/** Who would answer at the socket of the record; `undefined`: nobody. */
async function listenerOf(record: KeeperRecord, { platform, answerMs }: AdoptOptions): Promise<string | undefined> {
  try {
    const socket = await platform.transport.dial(record.socket, { timeoutMs: answerMs });
    const peer = platform.transport.peerOf(socket);
    socket.destroy();
    return peer === undefined ? 'somebody' : `pid ${peer.pid}`;
  } catch {
    return undefined;
  }
}

async function open(record: KeeperRecord, { platform, own, answerMs }: AdoptOptions): Promise<Adoption> {
  const { pid } = record;
  let channel: Channel;
  try {
    const { transport } = platform;
    const reads = new ChannelReads();
    const socket = await transport.dial(record.socket, { timeoutMs: answerMs, onread: reads.onread });
    channel = new Channel(socket, transport.sendNow, reads);
  } catch (error) {
    return refused(pid, `its socket cannot be reached: ${messageOf(error)}`);
  }
  const peer = platform.transport.peerOf(channel.socket);
  if (peer !== undefined && peer.pid !== pid) {
    channel.close('it is another process');
    return refused(pid, `pid ${peer.pid} listens on its socket`);
  }
  await failpointAsync('adopt.greet.before');
  try {
    const agreed = await greetKeeper(channel, Buffer.from(record.cookie, 'hex'), own, answerMs);
    return { verdict: 'adopted', record, channel, agreed };
  } catch (error) {
    channel.close(messageOf(error));
    if (error instanceof HandshakeError && error.peer !== undefined) {
      return { verdict: 'tooNew', record, peer: error.peer };
    }
    return refused(pid, messageOf(error));
  }
}
