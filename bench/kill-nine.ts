/**
 * What becomes of a program, and of its output, when whatever holds it is ended with SIGKILL: `seq 1 10000000` under tmux,
 * supervisord, pm2, and ours with and without `-durable`, killed in the middle and started again. Prints the table of
 * docs/keeper.md.
 *
 *     apt-get install tmux supervisor; npm install --prefix /tmp/pm2 pm2
 *     PM2=/tmp/pm2/node_modules/.bin/pm2 npm run bench -- kill-nine
 */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../test/support/daemon.ts';
import { findByArguments, isRunning, type ProcessFacts } from '../test/support/processes.ts';
import { waitUntil } from '../test/support/wait.ts';
import { connectRaw } from '../test/tools/raw-connection.ts';

const last = 10_000_000;
const program = ['seq', '1', String(last)];
const wholeBytes = 78_888_897;
const middleBytes = 20_000_000;
/** Nothing more is written once nothing was for so long. */
const quietMs = 1_500;

interface Outcome {
  readonly holder: string;
  /** Of the program, right after the kill. */
  readonly afterwards: string;
  /** What a user can read in the end. */
  readonly output: string;
}

const folder = mkdtempSync('/tmp/hf-');
const version = (command: string, ...words: string[]): string | undefined => {
  const told = spawnSync(command, words, { encoding: 'utf8' });
  return told.error === undefined && told.status === 0 ? told.stdout.trim() : undefined;
};

function must(result: SpawnSyncReturns<string>): string {
  if (result.error !== undefined || result.status !== 0) {
    throw new Error(`${result.error?.message ?? result.stderr} ${result.stdout}`);
  }
  return result.stdout;
}

const sizeOf = (file: string): number => (existsSync(file) ? statSync(file).size : 0);

function theProgram(): Promise<ProcessFacts> {
  return waitUntil(() => findByArguments(program.slice(1))[0], 'the program to start');
}

async function fateOf(before: ProcessFacts): Promise<string> {
  await sleep(500);
  const others = findByArguments(program.slice(1)).filter(({ pid }) => pid !== before.pid);
  const again = others.length > 0 ? ', another one was started' : '';
  return `${isRunning(before) ? 'runs on' : 'has ended'}${again}`;
}

/** What is in the file once nothing comes any more. */
async function outputIn(file: string): Promise<string> {
  for (let size = -1; size !== sizeOf(file); ) {
    size = sizeOf(file);
    await sleep(quietMs);
  }
  let [lines, firsts, bytes, rest] = [0, 0, 0, ''];
  for await (const chunk of createReadStream(file, 'latin1') as AsyncIterable<string>) {
    bytes += chunk.length;
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    lines += parts.length;
    firsts += parts.filter((line) => line.replace('\r', '') === '1').length;
  }
  if (bytes === wholeBytes && lines === last) {
    return 'every line once';
  }
  const runs = firsts > 1 ? `, begun ${firsts} times` : '';
  return `${lines.toLocaleString('en')} of ${last.toLocaleString('en')} lines${runs}`;
}

async function tmux(): Promise<Outcome | undefined> {
  const told = version('tmux', '-V');
  if (told === undefined) {
    return undefined;
  }
  const socket = join(folder, 'tmux');
  const file = join(folder, 'tmux.out');
  const words = (...more: string[]): string[] => ['-S', socket, ...more];
  must(
    spawnSync('tmux', words('-f', '/dev/null', 'new-session', '-d', '-s', 's', 'sleep 1; exec seq 1 10000000'), {
      encoding: 'utf8',
    }),
  );
  must(spawnSync('tmux', words('pipe-pane', '-t', 's', `cat >> ${file}`), { encoding: 'utf8' }));
  const pid = Number(must(spawnSync('tmux', words('display-message', '-p', '#{pid}'), { encoding: 'utf8' })));
  const seq = await theProgram();
  await waitUntil(() => sizeOf(file) > middleBytes, 'half of the output', { timeoutMs: 60_000 });
  process.kill(pid, 'SIGKILL');
  const afterwards = await fateOf(seq);
  return { holder: `${told} (pipe-pane)`, afterwards, output: await outputIn(file) };
}

async function supervisord(): Promise<Outcome | undefined> {
  const told = version('supervisord', '--version');
  if (told === undefined) {
    return undefined;
  }
  const file = join(folder, 'supervisor.out');
  const configuration = join(folder, 'supervisord.conf');
  writeFileSync(
    configuration,
    `[supervisord]\nlogfile=${folder}/supervisord.log\npidfile=${folder}/supervisord.pid\nnodaemon=true\n[program:seq]\n` +
      `command=${program.join(' ')}\nstdout_logfile=${file}\nstdout_logfile_maxbytes=0\nautorestart=false\nstartsecs=0\n`,
  );
  const start = () => spawn('supervisord', ['-c', configuration], { stdio: 'ignore' });
  const first = start();
  const seq = await theProgram();
  await waitUntil(() => sizeOf(file) > middleBytes, 'half of the output', { timeoutMs: 60_000 });
  first.kill('SIGKILL');
  const afterwards = await fateOf(seq);
  const second = start();
  await sleep(1_000);
  const output = await outputIn(file);
  second.kill('SIGTERM');
  await new Promise((resolve) => second.once('close', resolve));
  return { holder: `supervisord ${told}`, afterwards, output: `${output} (started again, it runs the program again)` };
}

async function pm2(): Promise<Outcome | undefined> {
  const { PM2: command } = process.env;
  const told = command === undefined ? undefined : version(command, '--version');
  if (command === undefined || told === undefined) {
    return undefined;
  }
  const env = { ...process.env, PM2_HOME: join(folder, 'pm2') };
  const file = join(folder, 'pm2.out');
  const run = (...words: string[]) => must(spawnSync(command, words, { encoding: 'utf8', env }));
  run(
    'start',
    '/usr/bin/seq',
    '--name',
    'seq',
    '--interpreter',
    'none',
    '--no-autorestart',
    '-o',
    file,
    '--merge-logs',
    '--',
    '1',
    String(last),
  );
  const seq = await theProgram();
  await waitUntil(() => sizeOf(file) > middleBytes, 'half of the output', { timeoutMs: 60_000 });
  process.kill(Number(readFileSync(join(folder, 'pm2', 'pm2.pid'), 'utf8')), 'SIGKILL');
  const afterwards = await fateOf(seq);
  const output = await outputIn(file);
  run('kill');
  return { holder: `pm2 ${told.split('\n').at(-1)}`, afterwards, output };
}

async function ours(flags: readonly string[]): Promise<Outcome> {
  await using daemon = await startDaemon({ flags: [...flags] });
  const first = await connectRaw(daemon, { keep: 'figures' });
  await first.spawn('seq', 'seq', program.slice(1));
  const seq = await theProgram();
  await first.waitFor(() => first.stream('seq').bytes.stdout > middleBytes, 'half of the output', {
    timeoutMs: 60_000,
  });
  await daemon.kill();
  const fate = await fateOf(seq);
  await daemon.start();
  await using client = await connectRaw(daemon, { keep: 'figures', continues: first });
  const { found } = await client.reattach('seq', client.stream('seq').lastSeq);
  if (found === true) {
    await client.exitOf('seq', { timeoutMs: 60_000 });
  }
  const wentOn = found === true && client.stream('seq').exit?.exitCode === 0;
  const afterwards = wentOn ? 'goes on to its end' : fate;
  const { bytes, gaps } = client.stream('seq');
  const expected = must(spawnSync('sh', ['-c', `${program.join(' ')} | sha256sum`], { encoding: 'utf8' })).split(
    ' ',
  )[0];
  const isWhole = gaps.length === 0 && client.stream('seq').sha256() === expected;
  const output = isWhole
    ? 'every line once'
    : `${bytes.stdout.toLocaleString('en')} of ${wholeBytes.toLocaleString('en')} bytes`;
  return { holder: `holdfast${flags.map((flag) => ` ${flag}`).join('')}`, afterwards, output };
}

const rows: string[] = [];
for (const [name, measure] of [
  ['tmux', tmux],
  ['supervisord', supervisord],
  ['pm2', pm2],
  ['holdfast', () => ours([])],
  ['holdfast -durable', () => ours(['-durable'])],
  ['holdfast -durable', () => ours(['-durable', '-spool-bytes', '200000000'])],
] as const) {
  const outcome = await measure();
  if (outcome === undefined) {
    console.error(`SKIPPED: ${name} is not installed; see the head of bench/kill-nine.ts`);
    continue;
  }
  rows.push(`| ${outcome.holder} | ${outcome.afterwards} | ${outcome.output} |`);
}
rmSync(folder, { recursive: true, force: true });
console.log(
  [
    '| held by | the program after `kill -9` of its holder | its output in the end |',
    '| --- | --- | --- |',
    ...rows,
  ].join('\n'),
);
