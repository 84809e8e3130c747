/** What an operator reads from the counters of the host cleaner. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { connectTo } from '../../support/host.ts';
import { testNeeding } from '../../support/needs.ts';
import { directoriesAtOnce, Host, initTakesOrphans, orphan, orphansAtOnce } from './support.ts';

testNeeding(initTakesOrphans)('everything a pass has ended, removed or left alone is counted', {}, async () => {
  using host = new Host();
  await using dead = await host.daemon('dead', { profile: 'next' });
  await using client = await connectTo(dead);
  await orphan(dead, [await host.start(client, 'p')]);
  await using _ = await host.daemon('idle', { profile: 'S' });
  mkdirSync(host.runDir('notes'));
  writeFileSync(join(host.runDir('notes'), 'notes.txt'), 'mine');
  await using cleaner = await host.cleaner({
    timings: { ...orphansAtOnce, ...directoriesAtOnce },
    flags: ['-metrics-addr', '127.0.0.1:0'],
  });
  const port = /metrics: listening on .*:(\d+)$/m.exec(cleaner.log())?.[1];
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const counted = [...text.matchAll(/^holdfast_hostclean_(\w+)_total (\d+)$/gm)].map(([, name, n]) => [
    name,
    Number(n),
  ]);
  expect(Object.fromEntries(counted)).toEqual({
    passes: 1,
    groups_ended: 1,
    daemons_retired: 1,
    // Those of the dead daemon and of the idle one.
    directories_removed: 2,
    refusals: 1,
    caps: 0,
  });
});
