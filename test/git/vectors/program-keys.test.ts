/**
 * Every key of which git's own documentation says that it runs a program (`git help --config`, and the pages of the
 * commands). For each key that can be tried without a screen the proof that plain git runs the program; then all of them
 * at once in one repository, of which no method runs any.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newGit, newGitFolder, testNeeding } from '../../support/needs.ts';
import { withEachGit } from '../each-git.ts';
import { commit, git, repository, scratchFolder, write } from '../support.ts';
import { askEveryMethod, profiles, touch } from './trap.ts';

interface ProgramKey {
  /** As it is set here. */
  readonly key: string;
  /** As the documentation writes it, where that differs. */
  readonly documented?: string;
  /** `command`: a line for a shell, `!command`: the same with a mark, `program`: a path, `hooks`: a folder of hooks. */
  readonly value: 'command' | '!command' | 'program' | 'hooks';
  /** Other settings without which the key has no effect. */
  readonly with?: Readonly<Record<string, string>>;
  /** Shell lines of somebody who works in the repository, or why nobody can try this here. */
  readonly plain: string | { readonly notTried: string };
  /** Only the newer git knows it. */
  readonly isNew?: boolean;
  /** Tried with both, because it needs files that lie beside git. */
  readonly isTriedTwice?: boolean;
}

const conflict =
  'git checkout -q -b other; echo other >a.txt; git commit -qam o; git checkout -q main; echo main >a.txt; git commit -qam m; git merge other';
/** A program that looks whether it has a terminal gets one. */
const onTerminal = (words: string) => `script -qec '${words}' /dev/null`;
const credentials = 'printf "protocol=https\\nhost=example.invalid\\n\\n" | GIT_TERMINAL_PROMPT=0 git credential fill';
const attribute = (name: string) => `echo "*.txt ${name}=evil" >.gitattributes; git add .gitattributes`;
const noMail = { notTried: 'git send-email is a package of its own, with modules of perl' };
const noScreen = { notTried: 'git gui needs a screen' };

const keys: readonly ProgramKey[] = [
  { key: 'alias.evil', documented: 'alias.*', value: '!command', plain: 'git evil' },
  {
    key: 'browser.evil.cmd',
    documented: 'browser.<tool>.cmd',
    value: 'command',
    plain: 'git web--browse --tool=evil x',
  },
  {
    key: 'browser.firefox.path',
    documented: 'browser.<tool>.path',
    value: 'program',
    plain: 'git web--browse --tool=firefox x; sleep 0.2',
  },
  {
    key: 'core.alternateRefsCommand',
    value: 'command',
    plain:
      'git init -q ../other; echo "$PWD/../other/.git/objects" >.git/objects/info/alternates; git rev-list --alternate-refs',
  },
  { key: 'core.askPass', value: 'program', plain: `unset SSH_ASKPASS GIT_ASKPASS; ${credentials}` },
  { key: 'core.editor', value: 'command', plain: 'git commit --allow-empty' },
  { key: 'core.fsmonitor', value: 'command', plain: 'git status' },
  { key: 'core.gitProxy', value: 'program', plain: 'git ls-remote git://example.invalid/x' },
  { key: 'core.hooksPath', value: 'hooks', plain: 'git checkout -B x' },
  { key: 'core.pager', value: 'command', plain: onTerminal('git log') },
  { key: 'core.sshCommand', value: 'command', plain: 'git ls-remote ssh://example.invalid/x' },
  { key: 'credential.helper', value: '!command', plain: credentials },
  {
    key: 'credential.https://example.invalid.helper',
    documented: 'credential.<url>.*',
    value: '!command',
    plain: credentials,
  },
  {
    key: 'diff.evil.command',
    documented: 'diff.<driver>.command',
    value: 'command',
    plain: `${attribute('diff')}; echo y >>a.txt; git diff`,
  },
  {
    key: 'diff.evil.textconv',
    documented: 'diff.<driver>.textconv',
    value: 'command',
    plain: `${attribute('diff')}; echo y >>a.txt; git diff`,
  },
  { key: 'diff.external', value: 'command', plain: 'echo y >>a.txt; git diff' },
  {
    key: 'difftool.evil.cmd',
    documented: 'difftool.<tool>.cmd',
    value: 'command',
    plain: 'echo y >>a.txt; git difftool -y --tool=evil',
  },
  {
    key: 'difftool.meld.path',
    documented: 'difftool.<tool>.path',
    value: 'program',
    plain: 'echo y >>a.txt; git difftool -y --tool=meld',
    isTriedTwice: true,
  },
  {
    key: 'filter.evil.clean',
    documented: 'filter.<driver>.clean',
    value: 'command',
    plain: `${attribute('filter')}; touch -d @0 a.txt; git status`,
  },
  {
    key: 'filter.evil.smudge',
    documented: 'filter.<driver>.smudge',
    value: 'command',
    plain: `${attribute('filter')}; rm a.txt; git checkout a.txt`,
  },
  // Of gitattributes(5); `git help --config` leaves it out.
  {
    key: 'filter.evil.process',
    documented: '',
    value: 'command',
    plain: `${attribute('filter')}; touch -d @0 a.txt; git status`,
  },
  {
    key: 'gc.recentObjectsHook',
    value: 'command',
    plain:
      'echo unreachable | git hash-object -w --stdin; find .git/objects -type f -exec touch -d @0 {} +; git prune --expire=1.hour.ago',
    isNew: true,
  },
  { key: 'gitcvs.dbDriver', value: 'program', plain: { notTried: 'it names a module of perl for git cvsserver' } },
  {
    key: 'gpg.ssh.program',
    documented: 'gpg.<format>.program',
    value: 'program',
    with: { 'gpg.format': 'ssh', 'user.signingKey': 'key::ssh-ed25519 x' },
    plain: 'git commit -S --allow-empty -m x',
  },
  { key: 'gpg.program', value: 'program', plain: 'git commit -S --allow-empty -m x' },
  {
    key: 'gpg.ssh.defaultKeyCommand',
    value: 'program',
    with: { 'gpg.format': 'ssh' },
    plain: 'git commit -S --allow-empty -m x',
  },
  { key: 'guitool.evil.cmd', documented: 'guitool.<name>.cmd', value: 'command', plain: noScreen },
  // git 2.54 and later; no older one reads it.
  {
    key: 'hook.evil.command',
    documented: '',
    value: 'command',
    with: { 'hook.evil.event': 'post-checkout' },
    plain: { notTried: 'neither git of these tests has hooks in its configuration' },
  },
  {
    key: 'imap.tunnel',
    value: 'command',
    with: { 'imap.folder': 'x' },
    plain: 'printf "From x\\nFrom: x\\nDate: x\\nSubject: x\\n\\nx\\n" | git imap-send',
  },
  { key: 'instaweb.browser', value: 'program', plain: { notTried: 'git instaweb needs gitweb, a package of its own' } },
  { key: 'instaweb.httpd', value: 'command', plain: { notTried: 'git instaweb needs gitweb, a package of its own' } },
  {
    key: 'interactive.diffFilter',
    value: 'command',
    plain: `echo y >>a.txt; echo q | ${onTerminal('git add -p')}`,
  },
  {
    key: 'man.evil.cmd',
    documented: 'man.<tool>.cmd',
    value: 'command',
    with: { 'man.viewer': 'evil' },
    plain: 'git help --man status',
  },
  {
    key: 'man.man.path',
    documented: 'man.<tool>.path',
    value: 'program',
    with: { 'man.viewer': 'man' },
    plain: 'git help --man status',
  },
  {
    key: 'merge.evil.driver',
    documented: 'merge.<driver>.driver',
    value: 'command',
    plain: `${attribute('merge')}; git commit -qm a; ${conflict}`,
  },
  {
    key: 'mergetool.evil.cmd',
    documented: 'mergetool.<tool>.cmd',
    value: 'command',
    plain: `${conflict}; git mergetool -y --tool=evil`,
  },
  {
    key: 'mergetool.meld.path',
    documented: 'mergetool.<tool>.path',
    value: 'program',
    plain: `${conflict}; git mergetool -y --tool=meld`,
    isTriedTwice: true,
  },
  { key: 'pager.log', documented: 'pager.<cmd>', value: 'command', plain: onTerminal('git log') },
  {
    key: 'remote.origin.receivepack',
    documented: 'remote.<name>.receivepack',
    value: 'command',
    with: { 'remote.origin.url': '.' },
    plain: 'git push origin HEAD:x',
  },
  {
    key: 'remote.origin.uploadpack',
    documented: 'remote.<name>.uploadpack',
    value: 'command',
    with: { 'remote.origin.url': '.' },
    plain: 'git ls-remote origin',
  },
  { key: 'sendemail.ccCmd', value: 'command', plain: noMail },
  { key: 'sendemail.headerCmd', value: 'command', plain: noMail, isNew: true },
  { key: 'sendemail.sendmailCmd', documented: '', value: 'command', plain: noMail },
  { key: 'sendemail.smtpServer', value: 'program', plain: noMail },
  { key: 'sendemail.toCmd', value: 'command', plain: noMail },
  { key: 'sequence.editor', value: 'command', plain: 'git commit -q --allow-empty -m x; git rebase -i HEAD~1' },
  {
    key: 'submodule.sub.update',
    documented: 'submodule.<name>.update',
    value: '!command',
    with: { 'submodule.sub.url': '.', 'submodule.sub.active': 'true', 'protocol.file.allow': 'always' },
    plain:
      'git -c protocol.file.allow=always submodule add -q "$PWD" sub; git commit -qm sub; rm -r sub; git submodule update',
  },
  {
    key: 'tar.evil.command',
    documented: 'tar.<format>.command',
    value: 'command',
    plain: 'git archive --format=evil HEAD',
  },
  // Of git-interpret-trailers(1); `git help --config` leaves them out.
  {
    key: 'trailer.evil.cmd',
    documented: '',
    value: 'command',
    plain: 'echo x | git interpret-trailers --trailer evil',
  },
  {
    key: 'trailer.evil.command',
    documented: '',
    value: 'command',
    plain: 'echo x | git interpret-trailers --trailer evil',
  },
  {
    key: 'uploadpack.packObjectsHook',
    value: 'command',
    plain: { notTried: 'git takes it from the user and the system only, never from a repository' },
  },
];

/**
 * Keys whose names sound like a program, but that run none: they name one of the tools above, a place, an address or a
 * form; `remote.<name>.vcs` runs only helpers that are installed.
 */
const harmless = new Set(
  `
  advice.ignoredHook advice.waitingForEditor clean.requireForce color.pager column.clean commit.cleanup
  clone.filterSubmodules commitGraph.maxNewFilters completion.commands core.fsmonitorHookVersion core.quotePath
  core.logAllRefUpdates credential.useHttpPath diff.<driver>.binary diff.<driver>.cachetextconv
  diff.<driver>.trustExitCode diff.<driver>.wordRegex diff.<driver>.xfuncname diff.guitool diff.tool
  difftool.guiDefault difftool.prompt difftool.trustExitCode fsmonitor.allowRemote fsmonitor.socketDir gc.repackFilter
  gc.repackFilterTo guitool.<name>.argPrompt guitool.<name>.confirm guitool.<name>.needsFile guitool.<name>.noConsole
  guitool.<name>.noRescan guitool.<name>.prompt guitool.<name>.revPrompt guitool.<name>.revUnmerged guitool.<name>.title
  help.browser http.proxy http.proxyAuthMethod http.proxySSLCAInfo http.proxySSLCert http.proxySSLCertPasswordProtected
  http.proxySSLKey man.viewer merge.<driver>.name merge.<driver>.recursive merge.guitool merge.tool
  mergetool.<tool>.hideResolved mergetool.<tool>.trustExitCode mergetool.<vimdiff variant>.layout mergetool.guiDefault
  mergetool.hideResolved mergetool.keepBackup mergetool.keepTemporaries mergetool.meld.hasOutput
  mergetool.meld.useAutoMerge mergetool.prompt mergetool.vimdiff.layout mergetool.writeToTemp
  notes.rewrite.<command> rebase.abbreviateCommands rebase.rescheduleFailedExec remote.<name>.partialclonefilter
  remote.<name>.proxy remote.<name>.proxyAuthMethod remote.<name>.vcs sendemail.smtpServerOption
  sendemail.smtpServerPort uploadpack.allowAnySHA1InWant uploadpack.allowFilter uploadpack.allowReachableSHA1InWant
  uploadpack.allowRefInWant uploadpack.allowTipSHA1InWant uploadpack.hideRefs uploadpack.keepAlive uploadpackfilter.<filter>.allow uploadpackfilter.allow
  uploadpackfilter.tree.maxDepth web.browser
  `
    .trim()
    .split(/\s(?!variant)/)
    .map((key) => key.trim().toLowerCase()),
);
const soundsLikeProgram =
  /cmd|command|program|helper|editor|pager|hook|external|textconv|driver|clean|smudge|process|proxy|askpass|uploadpack|receivepack|fsmonitor|browser|tool|filter|viewer|tunnel|exec|httpd|vcs|alias\./i;

const documentedOf = ({ key, documented = key }: ProgramKey): string => documented.toLowerCase();

withEachGit((test) => {
  test('every documented key that sounds like a program is in one of the lists', {}, () => {
    const known = new Set([...keys.map(documentedOf), ...harmless]);
    const documented = git('/', 'help', '--config').split('\n');
    expect(documented.length).toBeGreaterThan(800);
    const unknown = documented.filter((key) => soundsLikeProgram.test(key) && !known.has(key.toLowerCase()));
    expect(unknown).toEqual([]);
  });
});

/** The file that shows that the program of a key was run. */
const sentinelOf = (folder: string, { key }: ProgramKey): string => join(folder, 'ran', key.replaceAll(/[^\w.]/g, '_'));

function set(base: string, folder: string, one: ProgramKey): void {
  const sentinel = sentinelOf(folder, one);
  mkdirSync(join(folder, 'ran'), { recursive: true });
  const command = `touch ${sentinel}`;
  const script = `#!/bin/sh\n${command}\n`;
  let value = one.value === '!command' ? `!${command}` : `${command};:`;
  if (one.value === 'program') {
    value = write(join(folder, 'programs', one.key.replaceAll(/[^\w.]/g, '_')), script, 0o755);
  } else if (one.value === 'hooks') {
    for (const name of ['post-checkout', 'post-index-change', 'reference-transaction']) {
      write(join(folder, 'hooks', name), script, 0o755);
    }
    value = join(folder, 'hooks');
  }
  git(base, 'config', one.key, value);
  for (const [key, other] of Object.entries(one.with ?? {})) {
    git(base, 'config', key, other);
  }
}

describe('plain git runs the program of', () => {
  for (const one of keys) {
    const { plain } = one;
    if (typeof plain !== 'string') {
      continue;
    }
    for (const isNew of one.isTriedTwice ? [false, true] : [one.isNew ?? false]) {
      testNeeding(isNew ? newGit : undefined)(isNew ? `${one.key}, the newer git` : one.key, {}, () => {
        const folder = scratchFolder();
        const base = repository(join(folder, 'w'));
        set(base, folder, one);
        const PATH = isNew ? `${newGitFolder}:${process.env.PATH}` : process.env.PATH;
        const environment = { ...process.env, PATH, TERM: 'xterm', DISPLAY: ':9' };
        const { stderr } = spawnSync('sh', ['-c', plain], { cwd: base, env: environment, timeout: 20_000, input: '' });
        expect(existsSync(sentinelOf(folder, one)), stderr.toString()).toBe(true);
      });
    }
  }
});

describe('a repository that sets all keys at once', () => {
  withEachGit((test) => {
    for (const profile of profiles) {
      test(`has no program run by any method (${profile})`, {}, async () => {
        const folder = scratchFolder();
        const base = repository(join(folder, 'w'));
        write(join(base, '.gitattributes'), '*.txt filter=evil diff=evil merge=evil\n');
        commit(base, 'attributes');
        execFileSync('git', ['clone', '-q', base, join(base, 'sub')]);
        git(base, 'add', 'sub');
        git(base, 'commit', '-qm', 'sub');
        write(join(base, 'b.txt'), 'untracked\n');
        appendFileSync(join(base, 'a.txt'), 'changed\n');
        for (const one of keys) {
          set(base, folder, one);
          set(join(base, 'sub'), folder, one);
        }
        touch(base);
        touch(join(base, 'sub'));
        const ran = () => readdirSync(join(folder, 'ran'));
        // Setting a key does not run its program.
        expect(ran()).toEqual([]);
        await askEveryMethod(base, profile, (method) => expect(ran(), method).toEqual([]));
      });
    }
  });
});

test('each key is tried, or there is a reason why not', () => {
  for (const { key, plain } of keys) {
    expect(typeof plain === 'string' ? plain : plain.notTried, key).not.toBe('');
  }
});
