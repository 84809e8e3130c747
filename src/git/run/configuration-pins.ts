/** Settings that a call of git holds at a value of ours, whatever the configuration files say (spec git.md §2.2). */
import { isUtf8 } from 'node:buffer';
import type { ConfigEntry } from './configuration-list.ts';

/** A configuration key and the value it is held at. */
export type ConfigPin = readonly [key: string, value: string];

const limits = { keyBytes: 1_048_576, names: 1_024, nameBytes: 65_536 } as const;

/** A configuration with more, or other, names than can be pinned. `message` says why; it is wire text where a listing is required. */
export class CannotPin extends Error {
  override readonly name = 'CannotPin';
}

/**
 * Pins that switch off every hook the configuration names.
 * @throws CannotPin above the limits
 */
export function hookNamePins(entries: readonly ConfigEntry[]): ConfigPin[] {
  const names = new Names();
  for (const { key } of entries) {
    if (key.length > limits.keyBytes) {
      throw new CannotPin('a configuration key is longer than the listing reads');
    }
    const name = middlePart(key, 'hook');
    if (name !== undefined) {
      names.add(name);
    }
  }
  if (names.count > limits.names) {
    throw new CannotPin('too many configured hooks to pin');
  }
  if (names.bytes > limits.nameBytes) {
    throw new CannotPin('configured hook names exceed the aggregate pin byte bound');
  }
  return names.list('hook').flatMap((name): ConfigPin[] => [
    [`hook.${name}.enabled`, 'false'],
    [`hook.${name}.event`, ''],
  ]);
}

/** `<name>` of `<section>.<name>.<variable>`: what is between the first and the last dot. */
function middlePart(key: Buffer, section: string): Buffer | undefined {
  const first = key.indexOf(0x2e);
  const last = key.lastIndexOf(0x2e);
  if (first < 0 || first === last || key.toString('latin1', 0, first) !== section) {
    return undefined;
  }
  return key.subarray(first + 1, last);
}

/** A set of names that are bytes. */
class Names {
  readonly #names = new Map<string, Buffer>();
  bytes = 0;

  get count(): number {
    return this.#names.size;
  }

  add(name: Buffer): void {
    const key = name.toString('latin1');
    if (this.#names.has(key)) {
      return;
    }
    this.#names.set(key, name);
    this.bytes += name.length;
  }

  /** @throws CannotPin for a name that no environment variable of ours can carry as it is */
  list(section: string): string[] {
    return [...this.#names.values()].map((name) => {
      if (!isUtf8(name)) {
        throw new CannotPin(`the name of a configured ${section} is not UTF-8`);
      }
      return name.toString();
    });
  }
}
