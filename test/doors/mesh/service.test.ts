/** `install-service` and `uninstall-service` (spec mesh.md §12). */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { launchd } from '../../../platform/posix/launchd.ts';
import { taskScheduler } from '../../../platform/win32/task-scheduler.ts';
import { programForTests, runHoldfast } from '../../support/holdfast.ts';
import { installed, testNeeding } from '../../support/needs.ts';
import { TestDaemon } from './test-daemon.ts';

afterEach(() => void vi.unstubAllEnvs());

const unitIn = (daemon: TestDaemon): string =>
  join(daemon.folder, 'home/.config/systemd/user/claudemesh-daemon.service');
const boot = 'systemctl --user daemon-reload && systemctl --user enable --now claudemesh-daemon.service';

testNeeding(installed('systemd-analyze', 'systemd'))('acceptance 16: systemd accepts the unit', {}, async () => {
  await using daemon = new TestDaemon();
  const unit = unitIn(daemon);
  const name = 'Ann\'s "100%" $HOME box';
  expect(await daemon.run(['install-service', '--mesh', 'smoke-test', '--name', name])).toEqual({
    code: 0,
    signal: null,
    stdout: `installed linux service unit: ${unit}\nbring it up now: ${boot}\n`,
    stderr: '',
  });
  execFileSync('systemd-analyze', ['verify', unit], { stdio: 'pipe' });
  expect(lstatSync(unit).mode & 0o777).toBe(0o644);
  const lines = readFileSync(unit, 'utf8').split('\n');
  const log = join(daemon.daemonFolder, 'daemon.log');
  for (const line of [
    ...['Description=claudemesh daemon (peer mesh runtime)', 'After=network-online.target'],
    ...['Wants=network-online.target', 'Type=simple', 'Restart=always', 'RestartSec=3'],
    ...['RestartPreventExitStatus=2 4', `StandardOutput=append:${log}`, `StandardError=append:${log}`],
    ...['Environment="PATH=/usr/local/bin:/usr/bin:/bin"', 'WantedBy=default.target'],
    `Environment="CLAUDEMESH_CONFIG_DIR=${daemon.configFolder}"`,
  ]) {
    expect(lines).toContain(line);
  }
  const start = lines.find((line) => line.startsWith('ExecStart=')) ?? '';
  expect(start).toMatch(/^ExecStart=\/\S+ .* daemon up --mesh smoke-test --name /);
  expect(start).toContain(process.execPath);
  expect(start).toContain(String.raw`"Ann's \"100%%\" $$HOME box"`);
  expect(lstatSync(log).mode & 0o777).toBe(0o600);
});

test('acceptance 16: in CI nothing is installed, unless that is asked for', async () => {
  await using daemon = new TestDaemon();
  const install = ['install-service', '--mesh', 'smoke-test'];
  for (const name of ['CI', 'GITHUB_ACTIONS', 'GITLAB_CI', 'BUILDKITE', 'CIRCLECI', 'JENKINS_URL']) {
    expect(await daemon.run(install, { [name]: '1' })).toMatchObject({
      code: 1,
      stderr:
        'install-service failed: Refusing to install persistent service in CI; pass --allow-ci-persistent to override.\n',
    });
    expect(existsSync(unitIn(daemon))).toBe(false);
  }
  const { code, stdout } = await daemon.run([...install, '--allow-ci-persistent', '--json'], { CI: '1' });
  expect({ code, told: JSON.parse(stdout) }).toEqual({
    code: 0,
    told: { ok: true, platform: 'linux', unitPath: unitIn(daemon), bootCommand: boot },
  });
});

test('a service finds the folders of whoever installs it, also when they are named from another folder', async () => {
  await using daemon = new TestDaemon();
  const env = { ...daemon.env, CLAUDEMESH_CONFIG_DIR: '', CLAUDEMESH_DAEMON_DIR: 'somewhere' };
  await runHoldfast(['mesh', 'install-service', '--mesh', 'x'], { env, program: programForTests, cwd: daemon.folder });
  const unit = readFileSync(unitIn(daemon), 'utf8');
  expect(unit).toContain(`Environment="CLAUDEMESH_DAEMON_DIR=${join(daemon.folder, 'somewhere')}"`);
  expect(unit).not.toContain('CLAUDEMESH_CONFIG_DIR');
});

test('uninstall-service removes what was installed, without a service manager too, and nothing else', async () => {
  await using daemon = new TestDaemon();
  const unit = unitIn(daemon);
  expect((await daemon.run(['uninstall-service'])).stdout).toBe('no service unit installed\n');
  await daemon.run(['install-service', '--mesh', 'smoke-test']);
  expect(await daemon.run(['uninstall-service'])).toMatchObject({ code: 0, stdout: `removed: ${unit}\n`, stderr: '' });
  expect(existsSync(unit)).toBe(false);
  expect(JSON.parse((await daemon.run(['uninstall-service', '--json'])).stdout)).toEqual({
    platform: 'linux',
    removed: [],
  });
  mkdirSync(dirname(unit), { recursive: true });
  writeFileSync(unit, '[Service]\nExecStart=/usr/bin/other\n');
  const install = await daemon.run(['install-service', '--mesh', 'smoke-test']);
  expect(install).toMatchObject({
    code: 1,
    stderr: `install-service failed: ${unit} was not written by this program; move it away first\n`,
  });
  expect((await daemon.run(['uninstall-service'])).code).toBe(1);
  expect(readFileSync(unit, 'utf8')).toContain('/usr/bin/other');
});

const request = {
  command: ['/opt/a & b/node', '/opt/holdfast/main.ts', 'claudemesh', 'daemon', 'up', '--mesh', '<m>'],
  keepsChildren: false,
  workingFolder: '/Users/ann',
  logFile: '/Users/ann/.claudemesh/daemon/daemon.log',
  variables: { CLAUDEMESH_CONFIG_DIR: '/Users/ann/x' },
};

test('the property list of launchd has what the contract gives', () => {
  const manager = launchd('mesh');
  const path = manager.definitionPath('/Users/ann', {});
  expect(path).toBe('/Users/ann/Library/LaunchAgents/com.claudemesh.daemon.plist');
  expect(manager.bootCommand(path)).toBe(`launchctl bootstrap gui/$(id -u) ${path}`);
  const script = 'import sys, json, plistlib; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))';
  const read = execFileSync('python3', ['-c', script], { input: manager.definition(request) });
  expect(JSON.parse(String(read))).toMatchObject({
    Label: 'com.claudemesh.daemon',
    ProgramArguments: request.command,
    RunAtLoad: true,
    KeepAlive: true,
    StandardOutPath: request.logFile,
    StandardErrorPath: request.logFile,
    WorkingDirectory: '/Users/ann',
    EnvironmentVariables: {
      HOME: '/Users/ann',
      PATH: '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin',
      CLAUDEMESH_CONFIG_DIR: '/Users/ann/x',
    },
  });
});

test('a task of Windows starts the same words, and is refused where it would need variables', () => {
  vi.stubEnv('USERNAME', 'ann');
  const manager = taskScheduler('mesh');
  const xml = manager.definition({ ...request, variables: {} });
  expect(xml).toContain('claudemesh daemon up --mesh &lt;m&gt;');
  expect(xml).toContain(manager.mark);
  expect(() => manager.definition(request)).toThrow(/cannot be given CLAUDEMESH_CONFIG_DIR/);
});
