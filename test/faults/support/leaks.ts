/** What a daemon must not be left with once its sessions have ended. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { TestDaemon } from '../../support/daemon.ts';
import { openDescriptors, processFacts } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import type { RawConnection } from '../../tools/raw-connection.ts';

/** Direct children, zombies among them. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

export interface Holdings {
  readonly descriptors: readonly string[];
  readonly children: readonly number[];
}

/** What the daemon holds while nothing goes on but this connection; compare with {@link expectNothingLeft}. */
export async function holdingsOf(daemon: TestDaemon, client: RawConnection): Promise<Holdings> {
  // A first session, so that the look for the login shell's PATH, which it waits for, is over too.
  await client.spawn('before everything', 'true');
  await client.exitOf('before everything');
  const pid = daemon.pid();
  await waitUntil(() => childrenOf(pid).length === 0, 'the daemon to have no child');
  return { descriptors: kindsOf(pid), children: [] };
}

/** Resolves when the daemon holds no descriptor and no child more than before, a zombie counted as a child. */
export async function expectNothingLeft(daemon: TestDaemon, before: Holdings): Promise<void> {
  const pid = daemon.pid();
  await waitUntil(
    () => childrenOf(pid).length <= before.children.length && kindsOf(pid).length <= before.descriptors.length,
    'children and descriptors to be let go',
  ).catch(() => {
    const children = childrenOf(pid).map((child) => `${child} ${processFacts(child)?.state}`);
    expect({ children, descriptors: kindsOf(pid) }).toEqual({
      children: before.children,
      descriptors: before.descriptors,
    });
  });
}

/** What the descriptors lead to, without the numbers that differ each time. */
function kindsOf(pid: number): string[] {
  return [...openDescriptors(pid).values()].map((target) => target.replace(/\d+/g, 'n')).sort();
}
