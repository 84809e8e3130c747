/**
 * `git.info`, `git.status` and `git.list_branches` on a large repository, as a client sees them, against the plain git
 * commands of the same run. Only the ratios mean anything: both sides run in turns on the same machine.
 *
 *     node bench/git.ts [--files 50000] [--branches 500] [--rounds 15] [--profile S|current|next]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { connect } from '../src/client/index.ts';
import { startDaemon } from '../test/support/daemon.ts';
import { type Figures, interleave, roundsOr } from './support/processes.ts';
import { against, type Row, report } from './support/report.ts';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '50000' },
    branches: { type: 'string', default: '500' },
    rounds: { type: 'string', default: String(roundsOr(15)) },
    profile: { type: 'string', default: 'S' },
  },
});
const profile = values.profile as 'S' | 'current' | 'next';

const folder = mkdtempSync('/tmp/hfbench-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** In a small one what we do beside running git counts for more. */
const sizes = [
  { name: 'large', files: Number(values.files), branches: Number(values.branches), atMost: 1.15 },
  { name: 'small', files: 20, branches: 5, atMost: 1.6 },
];

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
const methods = ['git.info', 'git.status', 'git.list_branches'] as const;

await using daemon = await startDaemon({ profile, onTestFailed: () => {} });
await using host = await connect({ socket: daemon.socket, token: daemon.token });

const rows: Row[] = [];
for (const { name, files, branches, atMost } of sizes) {
  const repository = makeRepository(name, files, branches);
  const worktree = join(folder, `${name}-worktree`);
  execFileSync('git', ['worktree', 'add', '-q', '-b', 'session', worktree], { cwd: repository });
  for (const method of methods) {
    // What git.status answers for: any repository, or in the later profiles a session's worktree.
    const directory = method === 'git.status' && profile !== 'S' ? worktree : repository;
    const script = plainCommands[method].map((command) => `git ${command} >/dev/null`).join('; ');
    const samples = await interleave(Number(values.rounds), {
      holdfast: async () => ({
        ms: await timed(() => host.request(method, { path: directory, baseRepo: repository })),
      }),
      git: async () => ({
        ms: await timed(() => spawnSync('sh', ['-c', script], { cwd: directory, stdio: 'ignore', env: daemon.env })),
      }),
    });
    const msOf = (figures: readonly Figures[] | undefined) => figures?.map(({ ms = 0 }) => ms);
    rows.push(
      ...against('plain git', msOf(samples.git), {
        area: 'git',
        what: `${method}, ${files} files, ${branches} branches, profile ${profile}`,
        unit: 'ms',
        target: { atMost },
        ours: msOf(samples.holdfast) ?? [],
      }),
    );
  }
}
report(rows);

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** One commit of all files and as many branches, by `git fast-import`. */
function makeRepository(name: string, files: number, branches: number): string {
  const path = join(folder, name);
  execFileSync('git', ['init', '-q', '-b', 'main', path]);
  let stream =
    'blob\nmark :1\ndata 6\nhello\n\ncommit refs/heads/main\nmark :2\ncommitter B <b@example.com> 0 +0000\ndata 4\nmany\n';
  for (let index = 0; index < files; index++) {
    stream += `M 100644 :1 d${index % 100}/e${index % 1_000}/f${index}\n`;
  }
  for (let index = 0; index < branches; index++) {
    stream += `reset refs/heads/b${index}\nfrom :2\n\n`;
  }
  execFileSync('git', ['fast-import', '--quiet'], { cwd: path, input: stream });
  execFileSync('git', ['reset', '-q', '--hard', 'main'], { cwd: path });
  execFileSync('git', ['remote', 'add', 'origin', 'https://github.com/o/r.git'], { cwd: path });
  return path;
}
