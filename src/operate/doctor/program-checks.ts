/** Checks of other programs and of the way to the network. No program is started: a file is looked at. */
import { readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isExecutableFile } from '../../../platform/common/executable-file.ts';
import { messageOf } from '../../base/error-texts.ts';
import { trustedAuthorities } from '../../install/certificates.ts';
import { resolveLauncher } from '../../install/managed-launcher/resolve.ts';
import { proxyFor } from '../../install/proxy.ts';
import { defaultCliFolder } from '../../run-directory/names.ts';
import { bad, type Check, entryAt, ok, type Patient, warn } from './check.ts';

export const checkGit: Check = ({ environment, platform: { paths } }) => {
  const check = 'git';
  const name = `git${paths.programSuffix}`;
  const found = (environment.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutableFile);
  return found === undefined
    ? warn(check, `no ${name} on the PATH: git.* is refused`, 'install git')
    : ok(check, found);
};

export const checkAgentCli: Check = (patient) => {
  const check = 'agent CLI';
  const folder = cliFolderOf(patient);
  if (folder === undefined) {
    return ok(check, 'without a home folder there is no usual place for it');
  }
  const versions = versionsIn(folder);
  if (versions.length === 0) {
    return warn(check, `none in ${folder}`, 'holdfast -install -cli-version <version> -cli-url <address>');
  }
  const broken = versions.filter((name) => !isExecutableFile(join(folder, name)) || sizeOf(join(folder, name)) === 0);
  const [first] = broken;
  return first === undefined
    ? ok(check, `${versions.join(', ')} in ${folder}`)
    : bad(
        check,
        `${join(folder, first)} is no program that can be run`,
        `rm -r ${join(folder, first)}, and install it again`,
      );
};

/** Is there a policy of the administrator, can it be read, and would the CLI start through it? (docs/launcher.md) */
export const checkLauncher: Check = async (patient) => {
  const check = 'launcher';
  const { platform, environment } = patient;
  const { managedSettingsFolder } = platform.host;
  if (managedSettingsFolder === undefined) {
    return ok(check, 'no launcher can be applied on this system');
  }
  const folder = cliFolderOf(patient);
  const newest = folder === undefined ? undefined : versionsIn(folder).at(-1);
  const cli = folder === undefined || newest === undefined ? '' : join(folder, newest);
  const found = await resolveLauncher(cli, { ...platform, environment });
  switch (found.status) {
    case 'none':
      return ok(check, `no policy in ${managedSettingsFolder} names one; the CLI is started directly`);
    case 'usable':
      return ok(
        check,
        `${found.argv.join(' ')} of ${found.source} is in force, and clients of profile latest start the CLI through it`,
      );
    case 'unusable':
      return bad(
        check,
        `${found.source}: ${found.reason}; no CLI is started`,
        'the administrator has to name a program that is there, by its absolute path',
      );
    case 'unreadable':
      return bad(
        check,
        `${found.path}: ${found.reason}; no CLI is started`,
        'the administrator has to mend the file, or let this user read it',
      );
  }
};

/** Where the agent CLI comes from is not known here; any server stands for it. */
const someServer = new URL('https://example.com/');

export const checkProxy: Check = ({ environment }) => {
  const check = 'proxy';
  try {
    const proxy = proxyFor(someServer, environment);
    return ok(check, proxy === undefined ? 'none' : `${proxy.protocol}//${proxy.host}`);
  } catch (error) {
    return bad(check, `HTTPS_PROXY: ${messageOf(error)}`, 'set it to http://host:port, or unset it');
  }
};

export const checkAuthorities: Check = ({ environment, platform: { paths } }) => {
  const warnings: string[] = [];
  const count = trustedAuthorities({ environment, paths, warn: (text) => warnings.push(text) }).length;
  const [first] = warnings;
  return first === undefined
    ? ok('certificates', `${count} authorities are trusted`)
    : bad('certificates', first, 'name a file of certificates (PEM) in NODE_EXTRA_CA_CERTS, or unset it');
};

function cliFolderOf({ home }: Patient): string | undefined {
  return home === undefined ? undefined : defaultCliFolder(home);
}

/** The oldest first. */
function versionsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => !name.startsWith('.'))
      .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }));
  } catch {
    return [];
  }
}

function sizeOf(path: string): number {
  return entryAt(path)?.size ?? 0;
}
