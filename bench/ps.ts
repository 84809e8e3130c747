/**
 * `holdfast ps`: of an idle daemon against an empty script, and with a thousand sessions against `ps aux`. And what a shell waits
 * for when it completes a word, against the help of a verb.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from '../src/client/index.ts';
import { startDaemon, type TestDaemon } from '../test/support/daemon.ts';
import { program } from '../test/support/holdfast.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const area = 'ps';
const sessions = 1_000;
const client = needed('start_time');
const folder = mkdtempSync('/tmp/hfb-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const empty = `${folder}/empty.mjs`;
writeFileSync(empty, '');

await using idle = await startDaemon();
await using crowded = await startDaemon();
const ps = ({ socket }: TestDaemon) => run(client, [program, 'ps', '--socket', socket]);
const alone = await interleave(roundsOr(15), {
  holdfast: () => ps(idle),
  empty: () => run(client, [process.execPath, empty]),
});

await using spawner = await connect({ socket: crowded.socket, token: crowded.token });
for (let first = 0; first < sessions; first += 100) {
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => spawner.spawn({ id: `s${first + index}`, command: '/bin/cat' })),
  );
}
const together = await interleave(roundsOr(15), {
  holdfast: () => ps(crowded),
  aux: () => run(client, ['/bin/ps', 'aux']),
});

const completing = await interleave(roundsOr(15), {
  holdfast: () => run(client, [program, 'completion', 'bash', '--', `holdfast attach --socket ${idle.socket} `]),
  help: () => run(client, [program, 'help', 'status']),
});

const times = (samples: readonly { readonly ms?: number }[] | undefined) => (samples ?? []).map(({ ms = 0 }) => ms);
report([
  ...against('an empty script', times(alone.empty), {
    ...{ area, what: '`ps` of an idle daemon', unit: 'ms', target: { atMost: 4 }, ours: times(alone.holdfast) },
  }),
  ...against('`ps aux`', times(together.aux), {
    ...{ area, what: '`ps` with 1,000 sessions', unit: 'ms', target: { atMost: 3 }, ours: times(together.holdfast) },
  }),
  ...against('`holdfast help status`', times(completing.help), {
    ...{
      area,
      what: 'completion of a session id',
      unit: 'ms',
      target: { atMost: 3 },
      ours: times(completing.holdfast),
    },
  }),
]);
