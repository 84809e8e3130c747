/**
 * `holdfast run` on this machine against the plain thing: output of a program through it and through a pipe, and the start
 * and end of a program that does nothing against an empty script on the same Node.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { program } from '../test/support/holdfast.ts';
import { ended, type Figures, interleave, roundsOr } from './support/processes.ts';
import { against, report } from './support/report.ts';

const area = 'pipe';
const bytes = 400_000_000;
const folder = mkdtempSync('/tmp/hfb-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const socket = `${folder}/run/rpc.sock`;
const empty = `${folder}/empty.mjs`;
writeFileSync(empty, '');
const ours = [program, 'run', '--socket', socket, '--'];
const write = ['head', '-c', String(bytes), '/dev/zero'];

/** Reads all output of a command through a pipe. */
async function timed([file = '', ...words]: readonly string[]): Promise<Figures> {
  const started = process.hrtime.bigint();
  const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let read = 0;
  child.stdout.on('data', (piece: Buffer) => {
    read += piece.length;
  });
  const [code] = await ended(child);
  if (code !== 0) {
    throw new Error(`${file} ended with ${code}`);
  }
  const ms = Number(process.hrtime.bigint() - started) / 1e6;
  return { ms, MBs: read / ms / 1e3 };
}

const streams = await interleave(roundsOr(5), {
  holdfast: () => timed([...ours, ...write]),
  pipe: () => timed(['sh', '-c', `${write.join(' ')} | cat`]),
});
const starts = await interleave(roundsOr(15), {
  holdfast: () => timed([...ours, 'true']),
  empty: () => timed([process.execPath, empty]),
});
await ended(spawn(program, ['-stop', '-socket', socket], { stdio: 'ignore' }));

report([
  ...against(
    'a plain pipe',
    (streams.pipe ?? []).map(({ MBs = 0 }) => MBs),
    {
      area,
      what: '`holdfast run` here, output of a program',
      unit: 'MB/s',
      target: { atLeast: 0.25 },
      ours: (streams.holdfast ?? []).map(({ MBs = 0 }) => MBs),
    },
  ),
  ...against(
    'an empty script',
    (starts.empty ?? []).map(({ ms = 0 }) => ms),
    {
      area,
      what: '`holdfast run -- true` here, from its start to its end',
      unit: 'ms',
      target: { atMost: 4 },
      ours: (starts.holdfast ?? []).map(({ ms = 0 }) => ms),
    },
  ),
]);
