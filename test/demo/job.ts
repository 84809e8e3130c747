/**
 * The program of the demo: real commands, one after the other, as an agent would run them in a checkout.
 * It counts and hashes what it writes, and leaves its own count in a file: the demo compares that with what its client
 * received over the cut connection.
 *
 *     node test/demo/job.ts <file for the count>
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ProgramCount } from './verdict.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** As fast as somebody could skim; a burst of a few milliseconds would leave no time to cut anything. */
const bytesPerSecond = 450_000;
/** Well inside the 16 MiB that the daemon keeps for a client that is away. */
const mostBytesOfOneStep = 2_500_000;
const mostBytesAtOnce = 16_384;

interface Step {
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
}

function steps(): Step[] {
  const typeCheck: Step = {
    title: 'type check (tsc)',
    command: process.execPath,
    args: [tscPath(), '--noEmit', '-p', '.', '--listFiles', '--extendedDiagnostics'],
  };
  // A source archive has no history, and git refuses a checkout of another user; there is always the source to read.
  const hasHistory = spawnSync('git', ['rev-parse', '--verify', '--quiet', 'HEAD^{tree}'], { cwd: root }).status === 0;
  const reading: Step = hasHistory
    ? { title: 'git log -p --stat', command: 'git', args: ['--no-pager', 'log', '-p', '--stat', '--no-color'] }
    : {
        title: 'grep -rn "" (every line of the source)',
        command: 'grep',
        args: ['-rn', '', 'src', 'platform', 'test'],
      };
  return [reading, typeCheck];
}

function tscPath(): string {
  return createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace(/package\.json$/, 'bin/tsc');
}

const count = { stdout: { bytes: 0, hash: createHash('sha256') }, stderr: { bytes: 0, hash: createHash('sha256') } };

async function write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process[stream].write(bytes, (error) => (error ? reject(error) : resolve()));
  });
  count[stream].bytes += bytes.length;
  count[stream].hash.update(bytes);
}

/** Runs one command, its stdout and stderr through ours. @returns its exit code, 0 when we have seen enough of it */
async function run({ title, command, args }: Step): Promise<number> {
  await write('stderr', Buffer.from(`==> ${title}\n`));
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve(code ?? 1));
  });
  let written = 0;
  let enough = false;
  const copy = async (stream: 'stdout' | 'stderr'): Promise<void> => {
    for await (const chunk of child[stream] as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length && !enough; at += mostBytesAtOnce) {
        const piece = chunk.subarray(at, at + mostBytesAtOnce);
        await write(stream, piece);
        await sleep((piece.length / bytesPerSecond) * 1000);
        written += piece.length;
        if (written >= mostBytesOfOneStep) {
          enough = true;
          child.kill();
        }
      }
    }
  };
  const [code] = await Promise.all([ended, copy('stdout'), copy('stderr')]);
  return enough ? 0 : code;
}

const [countFile] = process.argv.slice(2);
if (countFile === undefined) {
  throw new Error('usage: node test/demo/job.ts <file for the count>');
}
let exitCode = 0;
for (const step of steps()) {
  exitCode = Math.max(exitCode, await run(step));
}
const figures = (stream: 'stdout' | 'stderr') => ({
  bytes: count[stream].bytes,
  sha256: count[stream].hash.digest('hex'),
});
const own: ProgramCount = { stdout: figures('stdout'), stderr: figures('stderr'), exitCode };
// Renamed into place: whoever finds the file finds all of it.
writeFileSync(`${countFile}.new`, JSON.stringify(own));
renameSync(`${countFile}.new`, countFile);
process.exitCode = exitCode;
