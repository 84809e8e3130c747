/** A unit of systemd's user manager (systemd.service(5), systemd.syntax(7)). */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { HostError } from '../errors.ts';
import type { ServiceKind, ServiceManager, ServiceRequest } from '../service-manager.ts';

const units: Readonly<Record<ServiceKind, string>> = {
  daemon: 'holdfast.service',
  agent: 'holdfast-agent.service',
  mesh: 'claudemesh-daemon.service',
};
const systemctl = (...words: string[]): string[] => ['systemctl', '--user', ...words];
const markOf = (command: string): string => `# Written by "${command}"; a change made here is lost with the next one.`;
const marks: Readonly<Record<ServiceKind, string>> = {
  daemon: markOf('holdfast service install'),
  agent: markOf('holdfast service install'),
  mesh: markOf('claudemesh daemon install-service'),
};

export function systemd(kind: ServiceKind): ServiceManager {
  const unit = units[kind];
  const mark = marks[kind];
  return {
    name: 'systemd',
    probe: systemctl('show', '--property=Version'),
    mark,
    definitionPath(home, environment) {
      const configured = environment.XDG_CONFIG_HOME;
      return join(configured?.startsWith('/') ? configured : join(home, '.config'), 'systemd', 'user', unit);
    },
    definition(request) {
      const { command, keepsChildren, workingFolder } = request;
      const [program = '', ...words] = command;
      const odd = /["'\\$]/.exec(program)?.[0];
      if (odd !== undefined) {
        throw new HostError(
          `${program}: systemd takes no program whose path has a ${odd}`,
          'install holdfast elsewhere',
        );
      }
      const spell = kind === 'mesh' ? plainOrQuoted : quoted;
      const start = [spell(program), ...words.map((word) => spell(word).replaceAll('$', '$$$$'))].join(' ');
      const texts: Readonly<Record<ServiceKind, () => string>> = {
        daemon: () => daemonUnit(start, keepsChildren),
        agent: () => agentUnit(start, keepsChildren, workingFolder),
        mesh: () => meshUnit(start, request),
      };
      return `${mark}\n${texts[kind]()}`;
    },
    // `restart` takes the new definition.
    replaceCommands: () => [],
    installCommands: () => [systemctl('daemon-reload'), systemctl('enable', unit), systemctl('restart', unit)],
    removeCommands: () => [systemctl('disable', '--now', unit)],
    bootCommand: () => `systemctl --user daemon-reload && systemctl --user enable --now ${unit}`,
    statusCommand: systemctl('status', '--no-pager', '--lines=0', unit),
    keeping: {
      // systemd has a cgroup for each unit, also below the cgroup of a container.
      keeps: (pid) => new RegExp(`^\\d+:.*/${unit.replaceAll('.', '\\.')}$`, 'm').test(textOf(`/proc/${pid}/cgroup`)),
      startCommand: systemctl('start', unit),
      restartCommand: systemctl('restart', unit),
    },
    hint: 'so that it runs while nobody is logged in: loginctl enable-linger',
  };
}

function daemonUnit(start: string, keepsChildren: boolean): string {
  return `[Unit]
Description=Holdfast, the daemon that holds agent sessions

[Service]
# The command ends when the daemon serves; systemd watches the daemon it leaves behind.
Type=forking
ExecStart=${start}
# ${keepsChildren ? 'Its children are to live on.' : 'It ends its children itself.'}
KillMode=${keepsChildren ? 'process' : 'mixed'}
TimeoutStopSec=15
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
`;
}

function agentUnit(start: string, keepsChildren: boolean, workingFolder: string | undefined): string {
  return `[Unit]
Description=Holdfast, the agent that asks a server for work

[Service]
Type=simple
WorkingDirectory=${workingFolder === undefined ? '~' : path(workingFolder)}
ExecStart=${start}
# ${keepsChildren ? 'Its sessions are to live on.' : 'It ends its sessions itself; the host daemon ends with the unit.'}
KillMode=${keepsChildren ? 'process' : 'mixed'}
TimeoutStopSec=30
Restart=always
RestartSec=10

[Install]
WantedBy=default.target
`;
}

/** Spec mesh.md §12. A start that ends with 2 (no such mesh) or 4 (another host) would end so again. */
function meshUnit(start: string, { logFile = '', variables = {} }: ServiceRequest): string {
  const environment = Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin', ...variables });
  return `[Unit]
Description=claudemesh daemon (peer mesh runtime)
After=network-online.target
Wants=network-online.target

[Service]
Type=simple
ExecStart=${start}
Restart=always
RestartSec=3
RestartPreventExitStatus=2 4
UMask=0077
StandardOutput=append:${path(logFile)}
StandardError=append:${path(logFile)}
${environment.map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`).join('\n')}

[Install]
WantedBy=default.target
`;
}

/** A path that is no word: nothing is quoted there, and `%` begins a specifier. */
function path(folder: string): string {
  if (/[\u0000-\u001f\u007f]/.test(folder)) {
    throw new HostError(`${JSON.stringify(folder)} has a control character, which a unit cannot carry`);
  }
  return folder.replaceAll('%', '%%');
}

/** One word. `%` begins a specifier, a backslash an escape. */
function quoted(word: string): string {
  if (/[\u0000-\u001f\u007f]/.test(word)) {
    throw new HostError(`${JSON.stringify(word)} has a control character, which a unit cannot carry`);
  }
  return `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`;
}

/** The contract of the mesh door has its words as they are, where they can be (spec mesh.md §12). */
function plainOrQuoted(word: string): string {
  return /^[\w@+=:,./-]+$/.test(word) ? word : quoted(word);
}

/** Where logind is told what to do when a user leaves, and who may have processes without being logged in. */
export interface LoginFiles {
  readonly configuration: string;
  readonly linger: string;
}

const loginFiles: LoginFiles = { configuration: '/etc/systemd', linger: '/var/lib/systemd/linger' };

/** See `Host.leaveLogin`: a scope of the user's manager is no part of the login's, and `--scope` becomes the program itself. */
export function leaveLogin(
  environment: NodeJS.ProcessEnv = process.env,
  user: string = userName(),
  files: LoginFiles = loginFiles,
): { readonly through: readonly string[]; readonly warning: string | undefined } {
  const { XDG_RUNTIME_DIR: runtime, PATH: path = '' } = environment;
  const hasManager = runtime?.startsWith('/') === true && existsSync(join(runtime, 'systemd', 'private'));
  const program = path
    .split(':')
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, 'systemd-run'))
    .find(isExecutable);
  const lingers = existsSync(join(files.linger, user));
  const warning =
    !lingers && killsUserProcesses(files.configuration)
      ? `logind ends the processes of a user who logs out (KillUserProcesses=yes), the keeper with its sessions too; to keep them: loginctl enable-linger ${user}`
      : undefined;
  if (hasManager && program !== undefined) {
    // Without linger the manager ends with the last login, and every scope of it.
    return { through: [program, '--user', '--scope', '--quiet', '--collect', '--'], warning };
  }
  return { through: [], warning };
}

/** As a number where nobody has given it a name, as in a container. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** logind.conf(5): the last word counts, and the files of the folder come after the main one. */
function killsUserProcesses(folder: string): boolean {
  let kills = false;
  for (const file of [join(folder, 'logind.conf'), ...configurationsIn(join(folder, 'logind.conf.d'))]) {
    for (const [, word = ''] of textOf(file).matchAll(/^\s*KillUserProcesses\s*=\s*(\w+)/gm)) {
      kills = /^(yes|true|on|1)$/i.test(word);
    }
  }
  return kills;
}

function configurationsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
