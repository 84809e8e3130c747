/** An agent of launchd (launchd.plist(5)). */
import { join } from 'node:path';
import { HostError } from '../errors.ts';
import type { ServiceKind, ServiceManager } from '../service-manager.ts';

const labels: Readonly<Record<ServiceKind, string>> = {
  daemon: 'holdfast.daemon',
  agent: 'holdfast.agent',
  mesh: 'com.claudemesh.daemon',
};
const servicePath = '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin';
const domain = `gui/${process.getuid?.() ?? 0}`;
const markOf = (command: string): string =>
  `<!-- Written by "${command}"; a change made here is lost with the next one. -->`;
const marks: Readonly<Record<ServiceKind, string>> = {
  daemon: markOf('holdfast service install'),
  agent: markOf('holdfast service install'),
  mesh: markOf('claudemesh daemon install-service'),
};

export function launchd(kind: ServiceKind): ServiceManager {
  const label = labels[kind];
  const mark = marks[kind];
  return {
    name: 'launchd',
    probe: ['launchctl', 'print', domain],
    mark,
    definitionPath: (home) => join(home, 'Library', 'LaunchAgents', `${label}.plist`),
    definition: ({ command, workingFolder, logFile, variables }) => `<?xml version="1.0" encoding="UTF-8"?>
${mark}
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${label}</string>
  <key>ProgramArguments</key>
  <array>
${command.map((word) => `    <string>${escaped(word)}</string>\n`).join('')}  </array>
${folderEntry(workingFolder)}${outputEntries(logFile)}${variableEntries(variables, workingFolder)}  <key>RunAtLoad</key>
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
    bootCommand: (path) => `launchctl bootstrap gui/$(id -u) ${forShell(path)}`,
    statusCommand: ['launchctl', 'print', `${domain}/${label}`],
    keeping: undefined,
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

function outputEntries(file: string | undefined): string {
  return file === undefined
    ? ''
    : ['StandardOutPath', 'StandardErrorPath']
        .map((key) => `  <key>${key}</key>\n  <string>${escaped(file)}</string>\n`)
        .join('');
}

function variableEntries(variables: Readonly<Record<string, string>> | undefined, home = ''): string {
  if (variables === undefined) {
    return '';
  }
  const entries = Object.entries({ PATH: servicePath, HOME: home, ...variables }).map(
    ([name, value]) => `    <key>${escaped(name)}</key>\n    <string>${escaped(value)}</string>\n`,
  );
  return `  <key>EnvironmentVariables</key>\n  <dict>\n${entries.join('')}  </dict>\n`;
}

function forShell(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function escaped(word: string): string {
  if (/[\u0000-\u0008\u000b-\u001f]/.test(word)) {
    throw new HostError(`${JSON.stringify(word)} has a control character, which a property list cannot carry`);
  }
  return word.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
