/**
 * Settings that a call of git holds at a value of ours, whatever the configuration files say, so that no program which a
 * repository names is started (spec git.md §2.2).
 */
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

/** The last parts of the keys that name the programs of a filter, and the keys that name one program each. */
const filterPrograms = ['clean', 'smudge', 'process'];
const singlePrograms: ReadonlyMap<string, string> = new Map([
  // The value is what git gets instead of the repository's program when the user has none configured.
  ['core.sshcommand', 'ssh'],
  ['core.askpass', ''],
  ['core.alternaterefscommand', ''],
]);

/**
 * Pins that keep git from running the programs which the repository's own configuration names: each is held at the value
 * of the user's own configuration, or switched off. What the user configured (git-lfs, as a rule) stays in force.
 * @throws CannotPin when there are more than can be pinned
 */
export function repositoryProgramPins(entries: readonly ConfigEntry[]): ConfigPin[] {
  const filters = new Names();
  const pinned = new Set<string>();
  for (const { scope, key } of entries) {
    if (!isOfRepository(scope)) {
      continue;
    }
    const text = key.toString('latin1');
    if (singlePrograms.has(text)) {
      pinned.add(text);
    }
    const name = middlePart(key, 'filter');
    if (name !== undefined && filterPrograms.includes(lastPart(text))) {
      filters.add(name);
    }
  }
  if (filters.count > limits.names || filters.bytes > limits.nameBytes) {
    throw new CannotPin('the repository configures more filters than can be switched off');
  }
  const usersValue = (key: string): string | undefined =>
    entries.findLast((entry) => !isOfRepository(entry.scope) && entry.key.toString() === key)?.value.toString();
  const pins: ConfigPin[] = [...pinned].map((key) => [key, usersValue(key) ?? singlePrograms.get(key) ?? '']);
  for (const name of filters.list('filter')) {
    let usersOwn = false;
    for (const program of filterPrograms) {
      const value = usersValue(`filter.${name}.${program}`);
      usersOwn ||= value !== undefined;
      pins.push([`filter.${name}.${program}`, value ?? '']);
    }
    // git reports an error for a required filter without a program, so the filter must not be required.
    if (!usersOwn) {
      pins.push([`filter.${name}.required`, 'false']);
    }
  }
  return pins;
}

function isOfRepository(scope: string | undefined): boolean {
  // Where git does not say the scope (before 2.26), no setting is known to be the user's own.
  return scope === undefined || scope === 'local' || scope === 'worktree';
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

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('.') + 1);
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
