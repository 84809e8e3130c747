/** npm in tests whose programs have a home folder and an environment of their own. */
import { execFileSync } from 'node:child_process';
import type { Environment } from './holdfast.ts';

/** What this machine has set for npm, and the packages it has by now: what a registry does is no matter of ours. */
export function settingsOfNpm(): Environment {
  // An npm that runs the suite tells its children about the folder of the suite.
  const ofTheSuite = Object.keys(process.env).filter((name) => /^npm_(?!config_)|^npm_config_local_prefix$/.test(name));
  const setting = (name: string): string => execFileSync('npm', ['config', 'get', name], { encoding: 'utf8' }).trim();
  return {
    ...Object.fromEntries(ofTheSuite.map((name) => [name, undefined])),
    NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS,
    npm_config_cache: setting('cache'),
    npm_config_userconfig: setting('userconfig'),
    npm_config_prefer_offline: 'true',
  };
}
