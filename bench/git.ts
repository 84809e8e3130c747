/**
 * `git.info`, `git.status` and `git.list_branches` on a large repository, as a client sees them, against the plain git
 * commands of the same run. Only the ratios mean anything: both sides run in turns on the same machine.
 *
 *     node bench/git.ts [--files 50000] [--branches 500] [--rounds 15] [--profile S|current|next] [--limit 1.15]
 *
 * Exits with 1 when a ratio is above the limit.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { connect } from '../test/support/client.ts';
import { startDaemon } from '../test/support/daemon.ts';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '50000' },
    branches: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '15' },
    profile: { type: 'string', default: 'S' },
    limit: { type: 'string', default: '1.15' },
  },
});
const profile = values.profile as 'S' | 'current' | 'next';
const limit = Number(values.limit);

const folder = mkdtempSync('/tmp/hfbench-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const repository = makeRepository(Number(values.files), Number(values.branches));
const worktree = join(folder, 'worktree');
execFileSync('git', ['worktree', 'add', '-q', '-b', 'session', worktree], { cwd: repository });

/** What git.status answers for: any repository, or in the later profiles a session's worktree. */
const place = profile === 'S' ? repository : worktree;
/** The commands of the specification, as a user would type them. */
const plainCommands = {
  'git.info':
    profile === 'next'
      ? [
          'config -z --list',
          'rev-parse --git-dir',
          'remote get-url origin',
          'symbolic-ref --short refs/remotes/origin/HEAD',
          'branch --show-current',
        ]
      : [
          'rev-parse --is-inside-work-tree',
          'rev-parse --show-toplevel',
          'config --get remote.origin.url',
          'symbolic-ref --short refs/remotes/origin/HEAD',
          'symbolic-ref --short HEAD',
        ],
  'git.status': {
    S: ['rev-parse --git-dir', 'status --porcelain'],
    current: ['rev-parse --absolute-git-dir', 'status --porcelain --untracked-files=all'],
    next: [
      'config -z --list',
      'rev-parse --absolute-git-dir',
      'status --porcelain --untracked-files=all',
      'ls-files -s -z',
      "rev-parse --verify -q 'HEAD^{commit}'",
      'diff-index --cached --raw -z --ignore-submodules=none HEAD --',
    ],
  }[profile],
  'git.list_branches': [
    ...(profile === 'next' ? ['config -z --list'] : []),
    'rev-parse --git-dir',
    "for-each-ref '--format=%(refname:lstrip=2)' refs/heads/",
  ],
};
const candidates = [
  { method: 'git.info', params: { path: repository }, directory: repository },
  { method: 'git.status', params: { path: place, baseRepo: repository }, directory: place },
  { method: 'git.list_branches', params: { path: repository }, directory: repository },
] as const;

await using daemon = await startDaemon({ profile, onTestFailed: () => {} });
await using client = await connect(daemon);

let worst = 0;
console.log(
  `${values.files} files, ${values.branches} branches, profile ${profile}, median of ${values.rounds} rounds`,
);
for (const { method, params, directory } of candidates) {
  const script = plainCommands[method].map((command) => `git ${command} >/dev/null`).join('; ');
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round <= Number(values.rounds); round++) {
    const plainMs = await timed(() => {
      spawnSync('sh', ['-c', script], { cwd: directory, stdio: 'ignore', env: daemon.env });
    });
    const ourMs = await timed(() => client.call(method, params));
    // The first round warms caches.
    if (round === 0) continue;
    theirs.push(plainMs);
    ours.push(ourMs);
  }
  const ratio = median(ours) / median(theirs);
  worst = Math.max(worst, ratio);
  console.log(
    `${method.padEnd(18)} ${ratio.toFixed(2)} x plain git (${median(ours).toFixed(1)} / ${median(theirs).toFixed(1)} ms)`,
  );
}
if (worst > limit) {
  console.log(`above the limit of ${limit}`);
  process.exitCode = 1;
}

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** One commit of all files and as many branches, by `git fast-import`. */
function makeRepository(files: number, branches: number): string {
  const path = join(folder, 'repository');
  execFileSync('git', ['init', '-q', '-b', 'main', path]);
  let stream =
    'blob\nmark :1\ndata 6\nhello\n\ncommit refs/heads/main\nmark :2\ncommitter B <b@example.com> 0 +0000\ndata 4\nmany\n';
  for (let index = 0; index < files; index++) {
    stream += `M 100644 :1 d${index % 100}/e${index % 1_000}/f${index}\n`;
  }
  for (let index = 0; index < branches; index++) stream += `reset refs/heads/b${index}\nfrom :2\n\n`;
  execFileSync('git', ['fast-import', '--quiet'], { cwd: path, input: stream });
  execFileSync('git', ['reset', '-q', '--hard', 'main'], { cwd: path });
  execFileSync('git', ['remote', 'add', 'origin', 'https://github.com/o/r.git'], { cwd: path });
  return path;
}
