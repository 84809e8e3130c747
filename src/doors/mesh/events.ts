/** What happens in the mesh, for whoever listens now (spec mesh.md §11). Nothing is kept: the inbox is the memory. */

export type EventKind = 'message' | 'peer_join' | 'peer_leave' | 'broker_status' | 'system';

/** @param data one line of JSON that starts with `ts` */
export type EventListener = (kind: EventKind, data: string) => void;

export class MeshEvents {
  readonly #listeners = new Set<EventListener>();

  publish(kind: EventKind, fields: Readonly<Record<string, unknown>>): void {
    if (this.#listeners.size === 0) {
      return;
    }
    const data = JSON.stringify({ ts: new Date().toISOString(), ...fields });
    for (const listener of this.#listeners) {
      listener(kind, data);
    }
  }

  /** @returns the call that ends it */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
