/** An agent of launchd (launchd.plist(5)). */
import { join } from 'node:path';
import { HostError } from '../errors.ts';
import type { ServiceKind, ServiceManager } from '../service-manager.ts';

const labels: Readonly<Record<ServiceKind, string>> = { daemon: 'holdfast.daemon', agent: 'holdfast.agent' };
const domain = `gui/${process.getuid?.() ?? 0}`;
const mark = '<!-- Written by "holdfast service install"; a change made here is lost with the next one. -->';

export function launchd(kind: ServiceKind): ServiceManager {
  const label = labels[kind];
  return {
    name: 'launchd',
    probe: ['launchctl', 'print', domain],
    mark,
    definitionPath: (home) => join(home, 'Library', 'LaunchAgents', `${label}.plist`),
    definition: ({ command, workingFolder }) => `<?xml version="1.0" encoding="UTF-8"?>
${mark}
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${label}</string>
  <key>ProgramArguments</key>
  <array>
${command.map((word) => `    <string>${escaped(word)}</string>\n`).join('')}  </array>
${folderEntry(workingFolder)}  <key>RunAtLoad</key>
  <true/>
${kind === 'daemon' ? leavesDaemon : runsItself}  <key>ThrottleInterval</key>
  <integer>30</integer>
</dict>
</plist>
`,
    // launchd does not load what it has loaded.
    replaceCommands: () => [['launchctl', 'bootout', `${domain}/${label}`]],
    installCommands: (path) => [['launchctl', 'bootstrap', domain, path]],
    removeCommands: () => [['launchctl', 'bootout', `${domain}/${label}`]],
    statusCommand: ['launchctl', 'print', `${domain}/${label}`],
    hint: 'launchd starts it when this user logs in at the screen; it has nothing for users who never do',
  };
}

const leavesDaemon = `  <!-- The command ends when the daemon serves, and leaves it behind. -->
  <key>AbandonProcessGroup</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
`;

/** Its host daemon is to outlive a crash of it, and has a session of its own. */
const runsItself = `  <key>AbandonProcessGroup</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ExitTimeOut</key>
  <integer>30</integer>
`;

function folderEntry(folder: string | undefined): string {
  return folder === undefined ? '' : `  <key>WorkingDirectory</key>\n  <string>${escaped(folder)}</string>\n`;
}

function escaped(word: string): string {
  if (/[\u0000-\u0008\u000b-\u001f]/.test(word)) {
    throw new HostError(`${JSON.stringify(word)} has a control character, which a property list cannot carry`);
  }
  return word.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
