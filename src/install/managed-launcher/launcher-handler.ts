/** `launcher.resolve` of a daemon: the answer, and the lines about it in the log (spec generation-n2.md §3.2, §3.6). */
import type { Platform } from '../../../platform/platform.ts';
import type { Log } from '../../base/log.ts';
import { type LauncherResolution, resolveLauncher, settingsFolderVariable } from './resolve.ts';

export class LauncherHandler {
  readonly #platform: Platform;
  readonly #log: Log;
  /** A policy that stays refused is told once, not at every start of a CLI. */
  #lastLine = '';
  #toldIgnored = false;

  constructor(platform: Platform, log: Log) {
    this.#platform = platform;
    this.#log = log;
  }

  async resolve(cliPath: string): Promise<LauncherResolution> {
    const { host, paths } = this.#platform;
    const resolution = await resolveLauncher(cliPath, {
      ...{ host, paths, environment: process.env },
      onIgnoredVariable: (systemFolder) => this.#tellIgnored(systemFolder),
    });
    const line = lineAbout(resolution);
    if (line !== '' && line !== this.#lastLine) {
      this.#log.warn('LauncherHandler', line);
    }
    this.#lastLine = line;
    return resolution;
  }

  #tellIgnored(systemFolder: string): void {
    if (!this.#toldIgnored) {
      this.#toldIgnored = true;
      this.#log.warn('launcher', `${settingsFolderVariable} ignored: ${systemFolder} holds this host's policy`);
    }
  }
}

function lineAbout(resolution: LauncherResolution): string {
  switch (resolution.status) {
    case 'unusable':
      return `managed launcher from ${resolution.source} refused: ${resolution.reason}`;
    case 'unreadable':
      return `managed settings unreadable: ${resolution.path}: ${resolution.reason}`;
    default:
      return '';
  }
}
