/** The end of a daemon whose disk fails or is slow. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { Injection } from '../faults/support/strace.ts';
import { startDaemon } from '../support/daemon.ts';
import { testNeeding, tracing } from '../support/needs.ts';
import { untilEnded } from '../support/processes.ts';

testNeeding(tracing())('a daemon ends although nothing can be written through to the disk of its log', {}, async () => {
  await using daemon = await startDaemon();
  const target = daemon.process();
  await using injection = await Injection.start(target.pid, 'fsync', 'EIO', '1+', join(daemon.dir, 'strace'));
  await daemon.stop();
  await untilEnded(target);
  // It does not even try: a disk that is merely busy would hold up the end for seconds.
  expect(injection.hasStruck).toBe(false);
});
