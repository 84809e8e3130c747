/** `claudemesh send <to> <message>`: one message, through the daemon that runs (spec mesh.md §2). */
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import type { VerbCall } from '../command-line.ts';
import { readConfig } from '../config.ts';
import { askDaemon, type DaemonAnswer, type DaemonRequest } from '../http/client.ts';
import { jsonLine } from '../log.ts';
import { exitCodes, MeshRefusal } from '../refusal.ts';

export const sendUsage = 'claudemesh send <to> <message>';
const priorities: readonly unknown[] = ['now', 'next', 'low'];
/** What dialling says when nobody listens. */
const nobodyCodes: readonly unknown[] = ['ENOENT', 'ECONNREFUSED', 'ENOTDIR'];
/** Shorter beginnings of a key are names. */
const shortestKeyPrefix = 16;

export async function send(call: VerbCall): Promise<number> {
  const { flags, words, folders } = call;
  const [to, message, ...more] = words;
  if (to === undefined || message === undefined || more.length > 0) {
    const hint = more.length > 0 ? 'a message of several words is one word to the shell only in quotes\n' : '';
    throw new MeshRefusal(
      `${hint}usage: ${sendUsage} [--mesh s] [--priority now|next|low] [--json] [--self]`,
      exitCodes.usage,
    );
  }
  const target = to.trim();
  const slug = typeof flags.mesh === 'string' ? flags.mesh : undefined;
  if (flags.self !== true && isOwnKey(target, slug, folders.configFile)) {
    return refuse(call, 'this is your own member key; pass --self to send to your other sessions');
  }
  const priority = priorities.includes(flags.priority) ? flags.priority : 'next';
  try {
    if (slug !== undefined) {
      const served = meshesOf(await ask(call, { method: 'GET', path: '/v1/health' }));
      if (!served.includes(slug)) {
        return refuse(call, `the daemon serves ${served.join(', ')}, not ${slug}`);
      }
    }
    return told(call, target, await ask(call, { method: 'POST', path: '/v1/send', body: { to, message, priority } }));
  } catch (error) {
    if (nobodyCodes.includes((error as NodeJS.ErrnoException).code)) {
      throw new MeshRefusal('daemon not running; start it with claudemesh daemon up', exitCodes.failed);
    }
    return refuse(call, `daemon unreachable: ${messageOf(error)}`);
  }
}

async function ask({ context, folders }: VerbCall, request: DaemonRequest): Promise<DaemonAnswer> {
  const { dialer } = await context.clientPlatform();
  return askDaemon(folders.socket, dialer, request);
}

function told(call: VerbCall, target: string, { status, body }: DaemonAnswer): number {
  const answer = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  if (status !== 200 && status !== 202) {
    return refuse(call, typeof answer.error === 'string' ? answer.error : `HTTP ${status}`);
  }
  const { client_message_id: own, broker_message_id: broker, duplicate } = answer;
  const messageId = typeof broker === 'string' ? broker : own;
  call.tell(printable(`sent to ${target} (${messageId})`), {
    ok: true,
    messageId,
    target,
    via: 'daemon',
    duplicate: duplicate === true,
  });
  return 0;
}

function refuse({ context, isJson }: VerbCall, error: string): number {
  if (isJson) {
    context.print(`${jsonLine({ ok: false, error, via: 'daemon' })}\n`);
  } else {
    context.complain(`${printable(error)}\n`);
  }
  return exitCodes.failed;
}

/** Who sends to the own key, or to the beginning of it, nearly always means somebody else. */
function isOwnKey(target: string, slug: string | undefined, configFile: string): boolean {
  const key = target.toLowerCase();
  return (
    key.length >= shortestKeyPrefix &&
    readConfig(configFile).meshes.some((mesh) => (slug ?? mesh.slug) === mesh.slug && mesh.pubkey.startsWith(key))
  );
}

function meshesOf({ body }: DaemonAnswer): readonly string[] {
  const { brokers } = (body ?? {}) as { readonly brokers?: object };
  return Object.keys(brokers ?? {});
}
