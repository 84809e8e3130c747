/**
 * What is run lies where nobody but the user and root can put or change it, the rule of the run directory (threat 2 of
 * docs/security.md). So from the look at a file to its start it cannot become another one.
 */
import { lstat } from 'node:fs/promises';
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { InstallFailure } from './failure.ts';
import { type FileIdentity, isSameFile } from './file-identity.ts';
import { FolderFailure } from './make-folder.ts';

/** Another user could have put the file there, or can change it. */
export class ForeignFile extends InstallFailure {}

const folderRemedy = 'choose a -cli-dir below a folder of your own';

/** The folder of the versions, as far as it is there, and everything on the way to it. @throws FolderFailure */
export function assertFolderIsOurs(folder: string, { trust }: Platform): void {
  const refusal = refusalOf(() => trust.assertOnlyOurs(folder, folderRemedy));
  if (refusal !== undefined) {
    throw new FolderFailure(`mkdir cli dir: ${refusal}`);
  }
}

/** A CLI that is to be run, a link to one included. @throws ForeignFile */
export function assertFileIsOurs(path: string, { trust }: Platform): void {
  const refusal = refusalOf(() => trust.assertOnlyOurs(path, 'remove it, and install a CLI of your own'));
  if (refusal !== undefined) {
    throw new ForeignFile(`cli ${path} was not run: ${refusal}`);
  }
}

/** A staged file that is gone is missed elsewhere. @throws InstallFailure when another file has its name */
export async function assertStillStaged(path: string, identity: FileIdentity): Promise<void> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  if (found !== undefined && !isSameFile(found, identity)) {
    throw new InstallFailure(`staged cli ${path} was replaced before it could be put in place`);
  }
}

function refusalOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof HostError) {
      return `${error.message}; ${error.remedy}`;
    }
    throw error;
  }
}
