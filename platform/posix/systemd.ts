/** A unit of systemd's user manager (systemd.service(5), systemd.syntax(7)). */
import { join } from 'node:path';
import { HostError } from '../errors.ts';
import type { ServiceManager } from '../service-manager.ts';

const unit = 'holdfast.service';
const systemctl = (...words: string[]): string[] => ['systemctl', '--user', ...words];

export const systemd: ServiceManager = {
  name: 'systemd',
  probe: systemctl('show', '--property=Version'),
  mark: '# Written by "holdfast service install"; a change made here is lost with the next one.',
  definitionPath(home, environment) {
    const configured = environment.XDG_CONFIG_HOME;
    return join(configured?.startsWith('/') ? configured : join(home, '.config'), 'systemd', 'user', unit);
  },
  definition({ command, keepsChildren }) {
    const [program = '', ...words] = command;
    const odd = /["'\\$]/.exec(program)?.[0];
    if (odd !== undefined) {
      throw new HostError(`${program}: systemd takes no program whose path has a ${odd}`, 'install holdfast elsewhere');
    }
    return `${systemd.mark}
[Unit]
Description=Holdfast, the daemon that holds agent sessions

[Service]
# The command ends when the daemon serves; systemd watches the daemon it leaves behind.
Type=forking
ExecStart=${[quoted(program), ...words.map((word) => quoted(word).replaceAll('$', '$$$$'))].join(' ')}
# ${keepsChildren ? 'Its children are to live on.' : 'It ends its children itself.'}
KillMode=${keepsChildren ? 'process' : 'mixed'}
TimeoutStopSec=15
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
`;
  },
  // `restart` takes the new definition.
  replaceCommands: () => [],
  installCommands: () => [systemctl('daemon-reload'), systemctl('enable', unit), systemctl('restart', unit)],
  removeCommands: () => [systemctl('disable', '--now', unit)],
  statusCommand: systemctl('status', '--no-pager', '--lines=0', unit),
  hint: 'so that it runs while nobody is logged in: loginctl enable-linger',
};

/** One word. `%` begins a specifier, a backslash an escape. */
function quoted(word: string): string {
  if (/[\u0000-\u001f\u007f]/.test(word)) {
    throw new HostError(`${JSON.stringify(word)} has a control character, which a unit cannot carry`);
  }
  return `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`;
}
