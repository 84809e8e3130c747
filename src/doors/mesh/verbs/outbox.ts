/** `outbox`: what became of the messages that were accepted, and another try for one that failed (spec mesh.md §2). */
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import type { VerbCall } from '../command-line.ts';
import { askDaemon, type DaemonAnswer, type DaemonRequest } from '../http/client.ts';
import { exitCodes, MeshRefusal } from '../refusal.ts';

/** The flags and the status that each asks for; the first of this order counts. */
const filters = [
  ['failed', 'dead'],
  ['pending', 'pending'],
  ['inflight', 'inflight'],
  ['done', 'done'],
  ['aborted', 'aborted'],
] as const;
const longestError = 60;

export function outbox(call: VerbCall): Promise<number> {
  const [verb = 'list', ...words] = call.words;
  switch (verb) {
    case 'list':
      return list(call);
    case 'requeue':
      return requeue(call, words);
    default:
      throw new MeshRefusal(
        `unknown outbox subcommand: ${printable(verb)}\nusage: claudemesh daemon outbox [list|requeue <id>]`,
        exitCodes.usage,
      );
  }
}

async function list(call: VerbCall): Promise<number> {
  const status = filters.find(([flag]) => call.flags[flag] === true)?.[1];
  const path = status === undefined ? '/v1/outbox' : `/v1/outbox?status=${status}`;
  const { body } = await answered(call, { method: 'GET', path });
  const { items } = body as { readonly items: readonly OutboxItem[] };
  call.tell(items.length === 0 ? '(empty)' : items.map(lineOf).join('\n'), body as object);
  return 0;
}

/** As `GET /v1/outbox` has it. */
interface OutboxItem {
  readonly id: string;
  readonly client_message_id: string;
  readonly status: string;
  readonly attempts: number;
  readonly broker_message_id: string | null;
  readonly last_error: string | null;
}

function lineOf(item: OutboxItem): string {
  const { id, client_message_id: cid, status, attempts, broker_message_id: broker, last_error: error } = item;
  const arrow = broker === null || broker === '' ? '' : ` → ${broker}`;
  const failure = error === null || error === '' ? '' : ` last_error="${error.slice(0, longestError)}"`;
  return printable(`${status.padEnd(8)} ${id}  cid=${cid}  attempts=${attempts}${arrow}${failure}`);
}

async function requeue(call: VerbCall, [id, ...more]: readonly string[]): Promise<number> {
  if (id === undefined || more.length > 0) {
    throw new MeshRefusal('usage: claudemesh daemon outbox requeue <id> [--new-client-id <id>]', exitCodes.usage);
  }
  const fresh = call.flags['new-client-id'];
  const { status, body } = await ask(call, {
    method: 'POST',
    path: '/v1/outbox/requeue',
    body: { id, ...(fresh === undefined ? {} : { new_client_message_id: fresh }) },
  });
  const told = body as Readonly<Record<string, unknown>>;
  if (status !== 200) {
    throw new MeshRefusal(`requeue failed (${status}): ${printable(String(told.error))}`, exitCodes.failed);
  }
  call.tell(
    printable(
      `requeued: aborted ${told.aborted_row_id} → new ${told.new_row_id} (client_message_id=${told.new_client_message_id})`,
    ),
    told,
  );
  return 0;
}

async function answered(call: VerbCall, request: DaemonRequest): Promise<DaemonAnswer> {
  const answer = await ask(call, request);
  if (answer.status !== 200) {
    throw new MeshRefusal(`daemon unreachable: HTTP ${answer.status}`, exitCodes.failed);
  }
  return answer;
}

/** @throws MeshRefusal when nobody answers, or with something else than an object */
async function ask({ context, folders }: VerbCall, request: DaemonRequest): Promise<DaemonAnswer> {
  const { dialer } = await context.clientPlatform();
  try {
    const answer = await askDaemon(folders.socket, dialer, request);
    if (typeof answer.body !== 'object' || answer.body === null) {
      throw new Error(`HTTP ${answer.status} without JSON`);
    }
    return answer;
  } catch (error) {
    throw new MeshRefusal(`daemon unreachable: ${printable(messageOf(error))}`, exitCodes.failed, { cause: error });
  }
}
