/** What comes from the broker goes to the inbox, to whoever listens, and to the log (spec mesh.md §9.1, §10, §13). */
import type { BrokerReceiver } from './broker/broker.ts';
import type { MeshEvents } from './events.ts';
import type { MeshLog } from './log.ts';
import type { Inbox } from './store/inbox.ts';

export interface ReceiverOptions {
  readonly slug: string;
  readonly inbox: Inbox;
  readonly events: MeshEvents;
  readonly log: MeshLog;
}

export function createReceiver({ slug, inbox, events, log }: ReceiverOptions): BrokerReceiver {
  return {
    onState(status) {
      log.info('broker_status', { status, mesh: slug });
      events.publish('broker_status', { mesh: slug, status });
    },
    onMessage(message) {
      const id = inbox.store(message, Date.now());
      if (id === undefined) {
        return false;
      }
      events.publish('message', {
        id,
        mesh: message.mesh,
        client_message_id: message.clientMessageId,
        broker_message_id: message.brokerMessageId,
        sender_pubkey: message.senderPubkey,
        sender_name: message.senderName,
        topic: message.topic,
        reply_to_id: message.replyToId,
        body: message.body,
        created_at: message.meta.created_at ?? null,
      });
      return true;
    },
    onSystem: (kind, data) => events.publish(kind, { mesh: slug, ...data }),
  };
}
