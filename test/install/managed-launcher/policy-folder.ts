/** A folder with managed settings of a test, and what they resolve to. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import { type LauncherResolution, resolveLauncher } from '../../../src/install/managed-launcher/resolve.ts';

const { paths } = await loadPlatform();

export class PolicyFolder {
  /** Readable for every user, whatever our umask says. */
  readonly path = mkdtempSync('/tmp/hf-policy-');
  readonly base = join(this.path, 'managed-settings.json');

  constructor() {
    chmodSync(this.path, 0o755);
    onTestFinished(() => {
      chmodSync(this.path, 0o755);
      rmSync(this.path, { recursive: true, force: true });
    });
  }

  /** @param content a text or bytes; anything else is written as JSON */
  put(name: string, content: string | Buffer | object): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content));
    return path;
  }

  /** An executable file that is no script the SDK would run. */
  program(name: string, content = '#!/bin/sh\nexec "$@"\n'): string {
    const path = this.put(name, content);
    chmodSync(path, 0o755);
    return path;
  }

  resolve(
    environment: NodeJS.ProcessEnv = {},
    options: { readonly cliPath?: string; readonly onIgnoredVariable?: (folder: string) => void } = {},
  ): Promise<LauncherResolution> {
    const { cliPath = '/opt/claude', ...rest } = options;
    return resolveLauncher(cliPath, { host: { managedSettingsFolder: this.path }, paths, environment, ...rest });
  }
}
