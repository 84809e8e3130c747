/** Random repositories: configuration files, includes, links and layouts as nobody sane writes them. All from one seed. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { commit, git, repository, write } from '../support.ts';

/** Numbers from 0 up to, and without, 1. The same seed gives the same ones. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Canaries {
  /** A shell command, and an executable file, that must not be run. */
  readonly command: string;
  readonly program: string;
  /** A folder whose files must not be written, and one of them. */
  readonly outside: string;
  readonly victim: string;
}

/** A repository with all that methods look at, from which each random one starts. */
export function startingPoint(folder: string): string {
  const base = repository(join(folder, 'w'));
  write(join(base, '.gitattributes'), '*.txt filter=evil diff=evil merge=evil\n');
  write(join(base, '.worktreeinclude'), '*.env\n');
  write(join(base, '.gitignore'), '*.env\n');
  write(join(base, 'dir', 'b.txt'));
  repository(join(base, 'sub'));
  write(join(base, 'sub', '.gitattributes'), '*.txt filter=evil\n');
  commit(join(base, 'sub'), 'attributes');
  write(join(base, '.gitmodules'), '[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n');
  commit(base, 'all');
  write(join(base, 'some.env'));
  write(join(base, '.claude', 'settings.local.json'), '{}');
  git(base, 'branch', 'other');
  git(base, 'worktree', 'add', '-q', '-b', 'there', join(base, '.claude', 'worktrees', 'there'));
  return base;
}

/** The keys of git's own list, with names in place of what is in angle brackets. */
const keys: readonly string[] = [
  ...execFileSync('git', ['help', '--config'], { encoding: 'utf8' }).split('\n'),
  ...['filter.<driver>.process', 'filter.<driver>.required', 'hook.<name>.command', 'hook.<name>.event'],
  ...['extensions.partialClone', 'extensions.worktreeConfig', 'extensions.refStorage', 'extensions.preciousObjects'],
  ...['core.worktree', 'core.bare', 'core.repositoryFormatVersion', 'remote.origin.promisor'],
]
  .filter((key) => key.includes('.'))
  .map((key) => key.replace('*', 'evil').replaceAll(/<[^>]*>/g, 'evil'));

/** Keys that are worth more than one try in a thousand. */
const dearKeys = [
  ...['core.fsmonitor', 'core.sshCommand', 'core.hooksPath', 'core.askPass', 'core.worktree', 'core.attributesFile'],
  ...['core.excludesFile', 'core.pager', 'core.alternateRefsCommand', 'filter.evil.clean', 'filter.evil.smudge'],
  ...['filter.evil.process', 'diff.evil.textconv', 'diff.external', 'include.path', 'includeIf.gitdir:/.path'],
  ...['includeIf.onbranch:**.path', 'includeIf.hasconfig:remote.*.url:**.path', 'includeIf.gitdir:**.path'],
  ...['remote.origin.uploadpack', 'remote.origin.url', 'remote.origin.promisor', 'remote.origin.vcs'],
  ...['extensions.partialClone', 'extensions.worktreeConfig', 'credential.helper', 'submodule.sub.update'],
  ...['http.cookieFile', 'http.saveCookies', 'url.ext::sh.insteadOf', 'protocol.allow', 'merge.evil.driver'],
  ...['gpg.program', 'alias.status', 'trace2.eventTarget', 'core.logAllRefUpdates', 'submodule.sub.path'],
];

export class RandomLayout {
  readonly #random: () => number;
  readonly #base: string;
  readonly #canaries: Canaries;
  /** What was done, for whoever has to understand a failure. */
  readonly steps: string[] = [];

  constructor(random: () => number, base: string, canaries: Canaries) {
    this.#random = random;
    this.#base = base;
    this.#canaries = canaries;
  }

  /** Changes the repository in a few ways. A change that is not possible any more is left out. */
  scramble(): void {
    const changes = [
      () => this.#writeConfiguration(),
      () => this.#writeConfiguration(),
      () => this.#writeConfiguration(),
      () => this.#putLink(),
      () => this.#putLink(),
      () => this.#putHooks(),
      () => this.#redirect(),
      () => this.#removeObject(),
      () => this.#writeAttributes(),
      () => this.#embedRepository(),
      () => this.#writeOddRef(),
      () => this.#writePatterns(),
    ];
    for (let left = 1 + this.#below(6); left > 0; left--) {
      try {
        this.#pick(changes)();
      } catch (error) {
        this.steps.push(`(not possible: ${(error as Error).message})`);
      }
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #at(...names: string[]): string {
    return join(this.#base, ...names);
  }

  #put(path: string, content: string): void {
    this.steps.push(`${path}: ${JSON.stringify(content)}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, 'latin1');
  }

  /** Where git, or one version of git in one situation, reads a configuration. */
  #configurationFile(): string {
    return this.#at(
      this.#pick([
        ...[
          '.git/config',
          '.git/config',
          '.git/config',
          '.git/config.worktree',
          '.git/worktrees/there/config.worktree',
        ],
        ...['.git/worktrees/there/config', 'sub/.git/config', '.gitmodules', '.git/included', 'included', '.gitconfig'],
        ...['.git/modules/sub/config', '.git/remotes/origin', '.git/info/config', 'embedded/config'],
      ]),
    );
  }

  #writeConfiguration(): void {
    const path = this.#configurationFile();
    let text = this.#random() < 0.8 && existsSync(path) ? execFileSync('cat', [path], { encoding: 'latin1' }) : '';
    for (let left = 1 + this.#below(5); left > 0; left--) {
      text += this.#setting();
    }
    this.#put(path, text);
  }

  #setting(): string {
    const key = this.#random() < 0.7 ? this.#pick(dearKeys) : this.#pick(keys);
    const [first, last] = [key.indexOf('.'), key.lastIndexOf('.')];
    const [section, name] = [key.slice(0, first), key.slice(last + 1)];
    const middle = key.slice(first + 1, Math.max(last, first + 1));
    const header = this.#pick([
      middle === '' ? `[${section}]` : `[${section} "${middle.replaceAll(/["\\]/g, '\\$&')}"]`,
      middle === '' ? `[ ${section.toUpperCase()} ]` : `[${section}\t"${middle}"]`,
      middle === '' ? `[${section}]` : `[${section}.${middle}]`,
    ]);
    const value = this.#value();
    const line = this.#pick([
      `\t${name} = ${value}`,
      `\t${name} = "${value.replaceAll(/["\\]/g, '\\$&')}"`,
      `${name.toUpperCase()}=${value} ; and more`,
      `${name}`,
      `\t${name} = \\\n${value}`,
      `\t${name} = "${value}`,
      `# ${name}\n\t${name} = ${value}`,
    ]);
    const between = this.#pick(['\n', '\n', ' ', '\r\n', '\n\ufeff\n']);
    return `${this.#pick(['', '', '\n', '\0'])}${header}${between}${line}${this.#pick(['\n', '\n', '\r\n', '', '\\\n'])}`;
  }

  #value(): string {
    const { command, program, outside, victim } = this.#canaries;
    return this.#pick([
      `${command}; cat`,
      `${command}; false`,
      `!${command}`,
      command,
      program,
      program,
      victim,
      outside,
      ...['true', 'false', '1', '', 'always', 'origin', 'evil', 'input', '\\', '"', '../..', '.'],
      `ext::sh -c ${command.replaceAll(' ', '% ')}`,
      ...['included', '../included', this.#at('included'), this.#at('.git', 'included'), '~/.gitconfig', '/dev/null'],
      ...['+refs/heads/*:refs/heads/*', 'refs/heads/main', 'file:///nowhere', 'ssh://-oProxyCommand=x/y', '-x'],
      `--upload-pack=${program}`,
    ]);
  }

  #putLink(): void {
    const place = this.#at(
      this.#pick([
        ...['.git/config', '.git/HEAD', '.git/index', '.git/packed-refs', '.git/logs', '.git/logs/HEAD', '.git/hooks'],
        ...['.git/logs/refs', '.git/logs/refs/heads', '.git/logs/refs/heads/s', '.git/refs', '.git/refs/heads'],
        ...['.git/refs/heads/s', '.git/refs/tags', '.git/worktrees', '.git/worktrees/s', '.git/worktrees/there'],
        ...['.git/worktrees/there/logs', '.git/worktrees/there/index', '.git/worktrees/there/HEAD', '.git/info'],
        ...['.git/worktrees/there/commondir', '.git/worktrees/there/gitdir', '.git/objects/info', '.git/commondir'],
        ...['.git/ORIG_HEAD', '.git/index.lock', '.git/packed-refs.lock', '.git/packed-refs.new', '.git/config.lock'],
        ...['.git/HEAD.lock', '.git/refs/heads/s.lock', '.git/worktrees/there/index.lock', '.git/worktrees/there/refs'],
        ...['.worktreeinclude', '.gitmodules', '.gitattributes', 'some.env', '.claude/settings.local.json', 'sub/.git'],
        ...['sub', 'dir', 'a.txt', '.git/info/exclude', '.git/info/attributes', '.git/modules', '.git/shallow'],
      ]),
    );
    const { outside, victim } = this.#canaries;
    const target = this.#pick([
      ...[victim, victim, outside, outside, join(outside, 'new'), join(outside, 's'), join(outside, 'none'), '.', '..'],
      ...[this.#at('..', 'evil.git'), this.#at('included'), this.#at('.git'), this.#at('sub', '.git', 'config')],
    ]);
    this.steps.push(`${place} -> ${target}`);
    rmSync(place, { recursive: true, force: true });
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(target, place);
  }

  #putHooks(): void {
    const names = [
      ...['post-checkout', 'reference-transaction', 'post-index-change', 'fsmonitor-watchman', 'pre-commit'],
      ...['post-rewrite', 'pre-auto-gc', 'update', 'pre-receive', 'applypatch-msg'],
    ];
    const folder = this.#pick(['.git/hooks', '.git/worktrees/there/hooks', 'sub/.git/hooks', 'hooks']);
    this.steps.push(`hooks in ${folder}`);
    for (const name of names) {
      write(this.#at(folder, name), `#!/bin/sh\n${this.#canaries.command}\n`, 0o755);
    }
  }

  /** Files that lead to another git directory, which configures everything evil. */
  #redirect(): void {
    const evil = this.#at('..', 'evil.git');
    if (!existsSync(evil)) {
      cpSync(this.#at('.git'), evil, { recursive: true });
      const { command } = this.#canaries;
      const program = `"${command}; cat"`;
      const text = `[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "${command}; false"\n[filter "evil"]\n\tclean = ${program}\n\tsmudge = ${program}\n`;
      writeFileSync(join(evil, 'config'), text);
    }
    const [path, content] = this.#pick([
      ['.git/commondir', `${evil}\n`],
      ['.git/commondir', '../../evil.git\n'],
      ['.git/worktrees/there/commondir', `${evil}\n`],
      ['.git/worktrees/there/gitdir', `${this.#at('dir', '.git')}\n`],
      ['.claude/worktrees/there/.git', `gitdir: ${evil}\n`],
      ['.claude/worktrees/s/.git', `gitdir: ${evil}\n`],
      ['dir/.git', `gitdir: ${evil}\n`],
      ['.git/objects/info/alternates', `${join(evil, 'objects')}\n`],
      ['.git/HEAD', `ref: refs/heads/../../../${this.#canaries.outside}/s\n`],
      ['.git/gitdir', `${evil}\n`],
    ] as const);
    this.#put(this.#at(path), content);
  }

  /** Leaves something to be fetched. */
  #removeObject(): void {
    const id = git(this.#base, 'rev-parse', this.#pick(['HEAD:a.txt', 'HEAD:dir', 'HEAD^{tree}', 'HEAD']));
    this.steps.push(`without the object ${id}`);
    rmSync(this.#at('.git', 'objects', id.slice(0, 2), id.slice(2)));
    const { command } = this.#canaries;
    const url = this.#pick([`ext::sh -c ${command.replaceAll(' ', '% ')}`, this.#base, 'ssh://127.0.0.1:9/o/r']);
    const text = `[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ${url}\n\tpromisor = true\n\tuploadpack = "${command}; false"\n[protocol]\n\tallow = always\n[core]\n\tsshCommand = "${command}; false"\n`;
    this.#put(
      this.#at('.git', 'config'),
      execFileSync('cat', [this.#at('.git', 'config')], { encoding: 'latin1' }) + text,
    );
  }

  #writeAttributes(): void {
    const path = this.#pick(['.gitattributes', '.git/info/attributes', 'dir/.gitattributes', 'sub/.gitattributes']);
    this.#put(
      this.#at(path),
      `* filter=evil diff=evil merge=evil\n${this.#pick(['', '*.txt ident eol=crlf\n', '[attr]x\n'])}`,
    );
  }

  #embedRepository(): void {
    const folder = this.#pick(['embedded', 'dir', '.claude', '.claude/worktrees/s', 'sub']);
    this.steps.push(`a bare repository in ${folder}`);
    for (const [name, content] of [
      ['HEAD', 'ref: refs/heads/main\n'],
      ['config', `[core]\n\tbare = false\n\tworktree = ..\n\tfsmonitor = "${this.#canaries.command}; false"\n`],
      ['objects/x', ''],
      ['refs/heads/x', ''],
    ] as const) {
      write(this.#at(folder, name), content);
    }
  }

  #writeOddRef(): void {
    const path = this.#pick([
      ...['.git/refs/heads/s', '.git/refs/heads/odd', '.git/HEAD', '.git/refs/remotes/origin/HEAD'],
      ...['.git/worktrees/there/HEAD', '.git/packed-refs', '.git/refs/heads/main', '.git/shallow', '.git/info/grafts'],
    ]);
    const id = '1234567890123456789012345678901234567890';
    this.#put(
      this.#at(path),
      this.#pick([
        ...[
          `${id}\n`,
          'ref: refs/heads/s\n',
          'ref: refs/heads/main\n',
          'ref: ../../../etc/passwd\n',
          'ref: refs/../../x\n',
        ],
        ...[
          '',
          '\0\0\0',
          `${id} refs/heads/s\n`,
          `# pack-refs with: peeled\n${id} refs/heads/s\n`,
          'ref: refs/heads/-x\n',
        ],
      ]),
    );
  }

  #writePatterns(): void {
    const path = this.#pick(['.worktreeinclude', '.gitignore', '.git/info/exclude', '.git/info/sparse-checkout']);
    this.#put(
      this.#at(path),
      this.#pick(['*\n', '**\n', '/..\n', '../*\n', '.git/**\n', '!*\n', '.claude\n', '/\n', '\\\n']),
    );
    const mode = this.#pick([0o644, 0o000, 0o755]);
    chmodSync(this.#at(path), mode);
  }
}
