/** How a session is opened over a link, and opened again over the next one: which request asks for it, and what its refusal means. */
import type { SessionActivity } from '../wire/extension-types.ts';
import { Claim, type ClaimHost } from './claim.ts';
import { requireExtensions } from './connection.ts';
import { HoldfastError, isKeeperAway } from './errors.ts';
import { type AfterCut, LinkLost } from './requests.ts';

/** How a session begins: by starting a process, by taking one over, or by looking on. */
export type Opening =
  | { readonly how: 'spawn'; readonly params: object }
  | { readonly how: 'take' }
  | { readonly how: 'observe' };

/** What the daemon says of the session when it is opened. */
export interface AttachReply {
  readonly found?: boolean;
  readonly existing?: boolean;
  readonly stdinApplied?: number;
  readonly pid?: number;
  readonly startTime?: number;
  readonly activity?: SessionActivity;
  readonly lastSeq?: number;
}

export interface AttachmentHost extends ClaimHost {
  request(method: string, params: object, afterCut?: AfterCut): Promise<unknown>;
}

/** What has come of the frames. */
export interface FramePlace {
  /** Number of the last frame taken; 0: none. */
  lastSeq(): number;
  /** The frames of a new process are counted from 1. */
  startAnew(): void;
}

/** The command, or the launcher in front of it, could not be started (spec wire.md §6). */
const startErrors: readonly (number | undefined)[] = [-32603, -32004, -32005];

const attachPauseMs = 1_000;
const mostAttaches = 10;

export class Attachment {
  readonly #id: string;
  readonly #host: AttachmentHost;
  readonly #opening: Opening;
  readonly #asksForActivity: boolean;
  readonly #place: FramePlace;
  readonly #claim: Claim;
  #isOpen = false;
  #existing = false;
  /** Attempts to open it that may have reached the daemon. */
  #attempts = 0;
  /** Links that have broken. */
  #links = 0;

  constructor(id: string, host: AttachmentHost, opening: Opening, asksForActivity: boolean, place: FramePlace) {
    this.#id = id;
    this.#host = host;
    this.#opening = opening;
    this.#asksForActivity = asksForActivity;
    this.#place = place;
    this.#claim = new Claim(id, host);
  }

  get isObserver(): boolean {
    return this.#opening.how === 'observe';
  }

  /** Whether a session of this id was found where a process was to be started. */
  get existing(): boolean {
    return this.#existing;
  }

  /**
   * Over a new link.
   * @throws LinkLost
   * @throws HoldfastError
   */
  async open(): Promise<AttachReply> {
    const reply = await (this.#isOpen ? this.#attachAgain() : this.#openFirst());
    this.#isOpen = true;
    return reply;
  }

  /** The session is ours and goes on. */
  attached(): void {
    this.#claim.attached();
  }

  linkBroke(): void {
    this.#links++;
    this.#claim.stop();
  }

  /** The session is over. */
  stop(): void {
    this.#claim.stop();
  }

  /** The first request for this session; repeated over the next link when its reply is lost. */
  async #openFirst(): Promise<AttachReply> {
    const opening = this.#opening;
    if (opening.how !== 'spawn') {
      return this.#attach();
    }
    const id = this.#id;
    const isFirst = this.#attempts++ === 0;
    const params = { id, ...opening.params, wantPid: true };
    try {
      if (this.#host.facts.hasExtensions) {
        const withFallback = { ...params, ifAbsent: true, fromSeq: this.#place.lastSeq() };
        const reply = await this.#ask('process.spawn', withFallback);
        this.#existing = isFirst && reply.existing === true;
        return reply;
      }
      // A daemon that only starts: one that was asked before has the process already.
      const found = await this.#ask('process.reattach', this.#attachParams());
      if (found.found === true) {
        this.#existing = isFirst;
        return found;
      }
      this.#place.startAnew();
      return await this.#ask('process.spawn', params);
    } catch (error) {
      if (error instanceof HoldfastError && startErrors.includes(error.code)) {
        throw new HoldfastError('spawn', `session ${id}: ${error.message}`, { code: error.code, cause: error });
      }
      throw error;
    }
  }

  async #ask(method: string, params: object): Promise<AttachReply> {
    return (await this.#host.request(method, params, 'link')) as AttachReply;
  }

  #attachParams(): object {
    return { id: this.#id, fromSeq: this.#place.lastSeq(), wantPid: true };
  }

  /** A durable daemon that has lost its keeper for a moment says so, and looks for it every second. @throws LinkLost */
  async #attachAgain(): Promise<AttachReply> {
    const link = this.#links;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attach();
      } catch (error) {
        if (!isKeeperAway(error) || attempt === mostAttaches) {
          throw error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, attachPauseMs));
      if (link !== this.#links) {
        throw new LinkLost('the connection broke');
      }
    }
  }

  async #attach(): Promise<AttachReply> {
    const id = this.#id;
    if (this.isObserver) {
      requireExtensions('observe', this.#host.facts);
      const params = { id, fromSeq: this.#place.lastSeq(), ...(this.#asksForActivity ? { activity: true } : {}) };
      return await this.#ask('holdfast.observe', params);
    }
    await this.#claim.refuseWhenTaken();
    const reply = await this.#ask('process.reattach', this.#attachParams());
    if (reply.found !== true) {
      const why = this.#isOpen
        ? 'the daemon no longer knows it: it was released, has ended long ago, or the daemon was started anew (its process may still run)'
        : 'the daemon does not know it';
      throw new HoldfastError('closed', `session ${id}: ${why}`);
    }
    return reply;
  }
}
