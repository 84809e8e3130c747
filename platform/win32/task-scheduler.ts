/** A task of the Windows task scheduler that begins when this user logs on; no administrator is needed for it. */
import { win32 } from 'node:path';
import { HostError } from '../errors.ts';
import type { ServiceKind, ServiceManager } from '../service-manager.ts';
import { joinWords } from './command-line.ts';

const tasks: Readonly<Record<ServiceKind, { readonly task: string; readonly file: string; readonly what: string }>> = {
  daemon: { task: 'Holdfast', file: 'holdfast-task.xml', what: 'the daemon that holds agent sessions' },
  agent: { task: 'Holdfast agent', file: 'holdfast-agent-task.xml', what: 'the agent that asks a server for work' },
  mesh: { task: 'claudemesh daemon', file: 'claudemesh-task.xml', what: 'the daemon of the peer mesh' },
};
const markOf = (command: string): string =>
  `<!-- Written by "${command}"; a change made here is lost with the next one. -->`;

export function taskScheduler(kind: ServiceKind): ServiceManager {
  const { task, file, what } = tasks[kind];
  const mark = markOf(kind === 'mesh' ? 'claudemesh daemon install-service' : 'holdfast service install');
  return {
    name: 'the task scheduler',
    probe: ['schtasks', '/query', '/fo', 'list'],
    mark,
    definitionPath: (home) => win32.join(home, '.claude', 'remote', file),
    // schtasks reads UTF-8 with its declaration. The daemon leaves the task behind, so nothing of the task is to end it.
    definition: ({ command: [program = '', ...words], workingFolder, variables = {} }) => {
      refuseVariables(variables);
      return `<?xml version="1.0" encoding="UTF-8"?>
${mark}
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Holdfast, ${what}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>${escaped(userName())}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>${escaped(userName())}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${escaped(program)}</Command>
      <Arguments>${escaped(joinWords(words))}</Arguments>
${workingFolder === undefined ? '' : `      <WorkingDirectory>${escaped(workingFolder)}</WorkingDirectory>\n`}    </Exec>
  </Actions>
</Task>
`;
    },
    // `/f` takes the place of a task of that name.
    replaceCommands: () => [],
    installCommands: (path) => [
      ['schtasks', '/create', '/f', '/tn', task, '/xml', path],
      ['schtasks', '/run', '/tn', task],
    ],
    removeCommands: () => [['schtasks', '/delete', '/f', '/tn', task]],
    bootCommand: (path) => `schtasks /create /f /tn "${task}" /xml "${path}" && schtasks /run /tn "${task}"`,
    statusCommand: ['schtasks', '/query', '/fo', 'list', '/tn', task],
    keeping: undefined,
    hint: 'it runs while this user is logged on; a daemon that runs goes on when the task is removed: holdfast -stop ends it',
  };
}

/** A task has the environment of its user. */
function refuseVariables(variables: Readonly<Record<string, string>>): void {
  const [first] = Object.entries(variables);
  if (first !== undefined) {
    const [name, value] = first;
    throw new HostError(
      `a task of Windows cannot be given ${name}`,
      `set it for the user (setx ${name} "${value}"), unset it here and try again`,
    );
  }
}

function userName(): string {
  const { USERDOMAIN: domain = '', USERNAME: name = '' } = process.env;
  return domain === '' ? name : `${domain}\\${name}`;
}

function escaped(word: string): string {
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(word)) {
    throw new HostError(`${JSON.stringify(word)} has a control character, which a task cannot carry`);
  }
  return word.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
