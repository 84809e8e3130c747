/** A broker connection of the product in this process, whose owner writes down what it is told. */
import { loadClientPlatform } from '../../../../platform/load.ts';
import type {
  Broker,
  BrokerState,
  IncomingMessage,
  OutgoingMessage,
} from '../../../../src/doors/mesh/broker/broker.ts';
import { connectBroker } from '../../../../src/doors/mesh/broker/connection.ts';
import { type MeshTimings, meshTimings } from '../../../../src/doors/mesh/timings.ts';
import { waitUntil } from '../../../support/wait.ts';
import type { Member } from '../members.ts';

export interface LogLine {
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Short where a test waits for it, and long where a stalled machine must not make a difference. */
export const quick: Partial<MeshTimings> = {
  ...{ reconnectMs: 20, reconnectMaxMs: 600, peersKeptMs: 0 },
  ...{ connectMs: 60_000, helloAckMs: 60_000, ackMs: 60_000, peersMs: 60_000 },
};

let processes = 0;

export class TestConnection implements AsyncDisposable {
  readonly member: Member;
  readonly states: BrokerState[] = [];
  readonly messages: IncomingMessage[] = [];
  readonly events: { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[] = [];
  readonly log: LogLine[] = [];
  /** Thrown by the inbox while set. */
  inboxFault: Error | undefined;
  readonly #known = new Set<string>();
  #broker: Broker | undefined;

  private constructor(member: Member) {
    this.member = member;
  }

  static async start(
    member: Member,
    brokerUrl: string,
    timings: Partial<MeshTimings> = {},
    environment: NodeJS.ProcessEnv = {},
  ): Promise<TestConnection> {
    const test = new TestConnection(member);
    test.#broker = await connectBroker({
      member: { ...member, slug: 'smoke-test', brokerUrl },
      // A broker takes two connections of one member and process for one, and closes the older.
      presence: { displayName: member.displayName, pid: ++processes, cwd: '/tmp', hostname: 'h' },
      receiver: {
        onState: (state) => test.states.push(state),
        onMessage: (message) => {
          if (test.inboxFault !== undefined) {
            throw test.inboxFault;
          }
          const isNew = !test.#known.has(message.clientMessageId);
          test.#known.add(message.clientMessageId);
          if (isNew) {
            test.messages.push(message);
          }
          return isNew;
        },
        onSystem: (kind, data) => test.events.push({ kind, data }),
      },
      log: { warn: (msg, fields) => test.log.push({ msg, fields }) },
      timings: { ...meshTimings, ...quick, ...timings },
      environment,
      paths: (await loadClientPlatform()).paths,
    });
    return test;
  }

  /** Connected, so that a test may begin. */
  static async open(member: Member, brokerUrl: string, timings: Partial<MeshTimings> = {}): Promise<TestConnection> {
    const test = await TestConnection.start(member, brokerUrl, timings);
    await test.until('open');
    return test;
  }

  get broker(): Broker {
    if (this.#broker === undefined) {
      throw new Error('not started');
    }
    return this.#broker;
  }

  until(state: BrokerState): Promise<unknown> {
    return waitUntil(
      () => this.broker.state === state,
      `the state ${state}: ${this.states.join(' ')} ${JSON.stringify(this.log)}`,
    );
  }

  logged(msg: string): readonly LogLine['fields'][] {
    return this.log.filter((line) => line.msg === msg).map(({ fields }) => fields);
  }

  /** Resolves with the fields of the first such line. */
  line(msg: string): Promise<LogLine['fields']> {
    return waitUntil(() => this.logged(msg)[0], `the line ${msg}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broker.close();
  }
}

let serial = 0;

export function message(target: string, text: string, change: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    clientMessageId: `key-${++serial}`,
    requestFingerprint: '0'.repeat(64),
    ...{ target, priority: 'next', payload: Buffer.from(text) },
    ...change,
  };
}
