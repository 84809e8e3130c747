/** `holdfast service`: what it writes and runs, with a home of the test's own and a stand-in for the manager's program. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadClientPlatform } from '../../platform/load.ts';
import { createPlatform } from '../../platform/posix/index.ts';
import { launchd } from '../../platform/posix/launchd.ts';
import { systemd } from '../../platform/posix/systemd.ts';
import { taskScheduler } from '../../platform/win32/task-scheduler.ts';
import { runVerb } from '../../src/operate/verbs.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { cleanEnvironment, program, runHoldfast } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { installed, linux, sayWhySkipped, testNeeding } from '../support/needs.ts';
import { findByArguments, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

/** A user's account in which `systemctl` writes down how it was called and ends as told. */
function account(answers = ':') {
  const folder = temporaryFolder();
  const home = join(folder, 'home');
  const bin = join(folder, 'bin');
  mkdirSync(home);
  mkdirSync(bin);
  const calls = join(folder, 'calls');
  writeFileSync(calls, '');
  writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\necho "$*" >>'${calls}'\n${answers}\n`, { mode: 0o755 });
  const env = cleanEnvironment(home, { PATH: `${bin}:${process.env.PATH}` });
  const unit = join(home, '.config', 'systemd', 'user', 'holdfast.service');
  const run = (...words: string[]) => runHoldfast(['service', ...words], { env, cwd: folder });
  return { folder, home, bin, env, unit, run, calls: () => readFileSync(calls, 'utf8').trim().split('\n') };
}

const onLinux = test.skipIf(linux !== undefined);
if (linux !== undefined) {
  sayWhySkipped('systemd units', linux.what);
}

onLinux('install writes the unit, owner-only, and has the manager enable and start it', async () => {
  const { run, unit, calls } = account();
  const { code, stdout, stderr } = await run('install', '--', '-wire-profile', 'next', '-metrics-addr', 'unix:~/m');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe(
    `The daemon runs, and systemd starts it from now on: ${unit}\n` +
      'So that it runs while nobody is logged in: loginctl enable-linger\n',
  );
  expect(statSync(unit).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(unit, '..'))).toEqual(['holdfast.service']);
  const text = readFileSync(unit, 'utf8');
  expect(text).toMatch(
    /^ExecStart="\/.*\/holdfast" "service" "start" "--" "-wire-profile" "next" "-metrics-addr" "unix:~\/m"$/m,
  );
  expect(text).toMatch(/^KillMode=mixed$/m);
  expect(calls()).toEqual([
    '--user show --property=Version',
    '--user daemon-reload',
    '--user enable holdfast.service',
    '--user restart holdfast.service',
  ]);
});

onLinux('a dry run shows the same and changes nothing', async () => {
  const { run, unit, calls, home } = account();
  const dry = await run('install', '--dry-run', '--', '-keep-children');
  expect(dry).toMatchObject({ code: 0, stderr: '' });
  expect(dry.stdout).toContain('KillMode=process');
  expect(dry.stdout).toContain('run systemctl --user enable holdfast.service\n');
  expect(await run('remove', '--dry-run')).toMatchObject({
    code: 0,
    stdout: `run systemctl --user disable --now holdfast.service\nremove ${unit}\n`,
  });
  expect(calls()).toEqual(['']);
  expect(readdirSync(home)).toEqual([]);
  await run('install', '--', '-keep-children');
  expect(dry.stdout).toContain(readFileSync(unit, 'utf8'));
});

onLinux('a relative socket path becomes the one meant here', async () => {
  const { run, unit, folder } = account();
  await run('install', '--', '-socket', 'run/rpc.sock');
  expect(readFileSync(unit, 'utf8')).toContain(`"-socket" "${folder}/run/rpc.sock"\n`);
});

onLinux('status tells what the manager says, remove stops and removes, and both are true of nothing', async () => {
  const { run, unit, calls } = account('case "$*" in *status*) echo "Active: inactive"; exit 3;; esac');
  expect(await run('status')).toMatchObject({ code: 3, stdout: `Not installed: there is no ${unit}\n` });
  expect(await run('remove')).toMatchObject({ code: 0, stdout: `Nothing to remove: there is no ${unit}\n` });
  await run('install');
  expect(await run('status')).toMatchObject({ code: 3, stdout: `Installed: ${unit}\nActive: inactive\n` });
  expect(await run('remove')).toMatchObject({
    code: 0,
    stdout: `The daemon has ended, and systemd starts it no more: ${unit} is removed\n`,
  });
  expect(existsSync(unit)).toBe(false);
  expect(calls().at(-1)).toBe('--user disable --now holdfast.service');
});

onLinux('a definition that somebody else wrote is neither replaced nor removed', async () => {
  const { run, unit, calls } = account();
  mkdirSync(join(unit, '..'), { recursive: true });
  writeFileSync(unit, '[Service]\nExecStart=/bin/true\n');
  const stderr = `holdfast service: ${unit} was not written by holdfast; move it away first\n`;
  expect(await run('install')).toMatchObject({ code: 1, stdout: '', stderr });
  expect(await run('remove')).toMatchObject({ code: 1, stdout: '', stderr });
  expect((await run('status')).stdout).toContain(`Somebody else’s definition: ${unit}\n`);
  expect(readFileSync(unit, 'utf8')).toBe('[Service]\nExecStart=/bin/true\n');
  expect(calls().join()).not.toMatch(/enable|restart|disable/);
});

onLinux('where no manager answers, install says why and what else there is, and writes nothing', async () => {
  const { run, home } = account('echo "Failed to connect to bus: No medium found" >&2; exit 1');
  const { code, stdout, stderr } = await run('install', '--', '-socket', '/tmp/it is/s');
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /^holdfast service: systemd cannot be used here: Failed to connect to bus: No medium found; instead, for example, a line for crontab -e: @reboot \/.*\/holdfast service start -- -socket '\/tmp\/it is\/s'\n$/,
  );
  expect(readdirSync(home)).toEqual([]);
});

onLinux('where there is no systemctl, install says so', async () => {
  const { run, env, home } = account();
  const tools = temporaryFolder();
  for (const tool of ['node', 'sh', 'readlink']) {
    const path = spawnSync('sh', ['-c', `command -v ${tool}`])
      .stdout.toString()
      .trim();
    if (path !== '') {
      symlinkSync(path, join(tools, tool));
    }
  }
  env.PATH = tools;
  const { code, stderr } = await run('install');
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /systemd cannot be used here: exec: "systemctl": executable file not found in \$PATH; instead/,
  );
  expect(readdirSync(home)).toEqual([]);
});

onLinux('a step of the manager that fails is told with its words', async () => {
  const { run } = account('case "$*" in *enable*) printf "no \\033[31msuch\\n" >&2; exit 5;; esac');
  expect(await run('install')).toMatchObject({
    code: 1,
    stderr: 'holdfast service: run systemctl --user enable holdfast.service: no \\x1b[31msuch\n',
  });
});

onLinux.each([
  [['-token-file', '/t'], /-token-file is not for a service/],
  [['-stop'], /-stop is not for a service/],
  [['-nonsense'], /flag provided but not defined: -nonsense/],
  [['-socket', '/tmp/a\nExecStartPost=/bin/evil'], /has a control character, which a unit cannot carry/],
])('flags a service cannot have (%j) are refused', async (flags, reason) => {
  const { run, calls, home } = account();
  const { code, stderr } = await run('install', '--', ...flags);
  expect(code).toBeGreaterThan(0);
  expect(stderr).toMatch(reason);
  expect(calls()).toEqual(['']);
  expect(readdirSync(home)).toEqual([]);
});

testNeeding(linux, installed('systemd-analyze', 'systemd'))(
  'systemd finds the program and no fault, whatever the path is made of',
  {},
  () => {
    const folder = join(temporaryFolder(), 'it is odd %h ü;#&');
    mkdirSync(folder);
    const odd = join(folder, 'hold fast');
    copyFileSync('/bin/true', odd);
    chmodSync(odd, 0o755);
    const runtime = temporaryFolder();
    const verify = (text: string) => {
      const unit = join(temporaryFolder(), 'holdfast.service');
      writeFileSync(unit, text);
      return spawnSync('systemd-analyze', ['verify', '--user', unit], {
        env: { ...process.env, XDG_RUNTIME_DIR: runtime },
        encoding: 'utf8',
      });
    };
    const text = systemd('daemon').definition({
      command: [odd, '%h', '$HOME', '"', "'", '\\', ';'],
      keepsChildren: false,
    });
    expect(verify(text)).toMatchObject({ status: 0, stderr: '' });
    expect(verify(text.replaceAll('%%', '%')).stderr).not.toBe('');
    const agent = { command: [odd, 'agent', '--config', '/x y%'], keepsChildren: false, workingFolder: folder };
    expect(verify(systemd('agent').definition(agent))).toMatchObject({ status: 0, stderr: '' });
  },
);

test('systemd replaces nothing in a word', () => {
  const text = systemd('daemon').definition({
    command: ['/p', '%h', '$HOME', 'a"b', 'c\\d', '$$'],
    keepsChildren: false,
  });
  expect(text).toContain('ExecStart="/p" "%%h" "$$HOME" "a\\"b" "c\\\\d" "$$$$"\n');
});

test.each(['$', '"', "'", '\\'])('a program path with a %s, which systemd takes from nobody, is refused', (odd) => {
  expect(() => systemd('daemon').definition({ command: [`/a${odd}b`], keepsChildren: false })).toThrow(
    `/a${odd}b: systemd takes no program whose path has a ${odd}`,
  );
});

test('the property list for launchd carries every word as it is', () => {
  const words = ['/p', `<&>"'`, '$HOME', 'ü'];
  const text = launchd('daemon').definition({ command: words, keepsChildren: false });
  const strings = [...text.matchAll(/^ {4}<string>(.*)<\/string>$/gm)].map(([, each = '']) => each);
  expect(strings).toEqual(['/p', `&lt;&amp;&gt;"'`, '$HOME', 'ü']);
  const python = spawnSync(
    'python3',
    ['-c', 'import plistlib,sys,json; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))'],
    { input: text },
  );
  if (python.status === 0) {
    expect(JSON.parse(python.stdout.toString())).toMatchObject({
      Label: 'holdfast.daemon',
      ProgramArguments: words,
      RunAtLoad: true,
      AbandonProcessGroup: true,
    });
  } else {
    expect(process.env.CI, 'python3 reads property lists').not.toBe('true');
  }
});

test('launchd is told to forget what it has loaded before it is given another definition', async () => {
  const { bin, home, calls } = account();
  copyFileSync(join(bin, 'systemctl'), join(bin, 'launchctl'));
  const path = process.env.PATH;
  onTestFinished(() => {
    process.env.PATH = path;
  });
  process.env.PATH = `${bin}:${path}`;
  const platform = createPlatform();
  const host = { ...platform.host, home: () => home, serviceManager: async () => launchd('daemon') };
  const install = (...words: string[]) =>
    runVerb('service', ['install', ...words], {
      environment: { PATH: process.env.PATH },
      programName: 'holdfast',
      executableDirectory: join(home, 'bin'),
      platform: async () => ({ ...platform, host }),
      clientPlatform: () => loadClientPlatform(),
      print: () => {},
      complain: (text) => expect.unreachable(text),
    });
  expect(await install()).toBe(0);
  expect(await install('--', '-log-max-bytes', '5')).toBe(0);
  const plist = join(home, 'Library', 'LaunchAgents', 'holdfast.daemon.plist');
  expect(readFileSync(plist, 'utf8')).toContain('<string>-log-max-bytes</string>');
  const domain = `gui/${process.getuid?.()}`;
  expect(calls()).toEqual([
    `print ${domain}`,
    `bootstrap ${domain} ${plist}`,
    `print ${domain}`,
    `bootout ${domain}/holdfast.daemon`,
    `bootstrap ${domain} ${plist}`,
  ]);
});

onLinux('start runs a daemon with a token that only this user can read, and leaves no other copy of it', async () => {
  const { run, home } = account();
  const socket = join(home, 'run', 's');
  const started = await run('start', '--', '-socket', socket);
  try {
    expect(started).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(join(home, 'run')).sort()).toEqual(['daemon.token', 'remote-server.log', 's']);
    expect(statSync(join(home, 'run', 'daemon.token')).mode & 0o777).toBe(0o600);
    const token = readFileSync(join(home, 'run', 'daemon.token'), 'utf8');
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    await using client = await connectTo({ socket, token });
    await client.request('server.ping');
    const again = await run('start', '--', '-socket', socket);
    expect(again.code).toBe(0);
    expect(readFileSync(join(home, 'run', 'daemon.token'), 'utf8')).not.toBe(token);
  } finally {
    for (const daemon of findByArguments(['-serve', socket])) {
      signalProcess(daemon, 'SIGKILL');
      await untilEnded(daemon);
    }
  }
});

onLinux('a start that fails says why and leaves no token', async () => {
  const { run, home } = account();
  mkdirSync(join(home, 'run', 's', 'full'), { recursive: true, mode: 0o700 });
  const socket = join(home, 'run', 's');
  const { code, stderr } = await run('start', '--', '-socket', socket);
  expect(code).toBe(1);
  expect(stderr).toMatch(/bind: address already in use/);
  expect(readdirSync(join(home, 'run')).sort()).toEqual(['remote-server.log', 's']);
  await waitUntil(() => findByArguments(['-serve', socket]).length === 0 || undefined, 'no daemon to be left');
});

test('the program’s own path is the one the definition names', async () => {
  const { run } = account();
  const { stdout } = await run('install', '--dry-run');
  if (process.platform === 'linux') {
    expect(stdout).toContain(`ExecStart="${program}" "service"`);
  }
});

onLinux(
  '--agent: the polling agent is the service, with its settings file and its folder; the daemon has its own',
  async () => {
    const { run, home, unit, calls, folder } = account();
    const agentUnit = join(unit, '..', 'holdfast-agent.service');
    expect(await run('install', '--agent')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${join(folder, 'config.json')} cannot be used: ENOENT`),
    });
    const settings = join(home, 'agent %h.json');
    writeFileSync(settings, '{"agentToken":"agt_secret",');
    const bad = await run('install', '--agent', '--config', settings);
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining('it is not valid JSON') });
    expect(bad.stderr).not.toContain('agt_secret');
    writeFileSync(settings, '{"onStop":"keep"}');
    expect(await run('install', '--agent', '--config', settings, '--', '-durable')).toMatchObject({ code: 2 });
    expect(await run('install', '--config', settings)).toMatchObject({ code: 2 });
    expect(await run('install', '--agent', '--config', settings)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`The agent runs, and systemd starts it from now on: ${agentUnit}\n`),
    });
    const text = readFileSync(agentUnit, 'utf8');
    expect(text).toContain(`ExecStart="${program}" "agent" "--config" "${settings.replace('%', '%%')}"\n`);
    expect(text).toContain(`WorkingDirectory=${home}\n`);
    expect(text).toMatch(/^Type=simple$/m);
    expect(text).toMatch(/^KillMode=process$/m);
    expect(existsSync(unit)).toBe(false);
    expect(calls().slice(-3)).toEqual([
      '--user daemon-reload',
      '--user enable holdfast-agent.service',
      '--user restart holdfast-agent.service',
    ]);
    expect(await run('status', '--agent')).toMatchObject({ code: 0 });
    expect(await run('status')).toMatchObject({ code: 3 });
    expect(await run('remove', '--agent')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('The agent has ended'),
    });
    expect(existsSync(agentUnit)).toBe(false);
  },
);

test('launchd and the task scheduler run an agent as itself, in its folder', () => {
  const request = { command: ['/opt/holdfast', 'agent'], keepsChildren: false, workingFolder: '/srv/a&b' };
  const plist = launchd('agent').definition(request);
  expect(plist).toContain('<string>holdfast.agent</string>');
  expect(plist).toContain('<key>WorkingDirectory</key>\n  <string>/srv/a&amp;b</string>');
  expect(plist).toMatch(/<key>KeepAlive<\/key>\s*<true\/>/);
  const xml = taskScheduler('agent').definition(request);
  expect(xml).toContain('<WorkingDirectory>/srv/a&amp;b</WorkingDirectory>');
  expect(xml).toContain('the agent that asks a server for work');
});
