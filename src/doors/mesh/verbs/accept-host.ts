/** `accept-host`: the daemon folder belongs to this machine from now on (spec mesh.md §3.3). */
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import type { VerbCall } from '../command-line.ts';
import { stableMac, writeFingerprint } from '../host-fingerprint.ts';
import { openFolder } from '../open-folder.ts';
import { exitCodes, MeshRefusal } from '../refusal.ts';

export async function acceptHost({ context, folders, tell }: VerbCall): Promise<number> {
  const platform = await context.platform();
  const directory = openFolder(folders.daemon, platform.runDirectories);
  try {
    const prefix = writeFingerprint(directory, { hostId: platform.host.hostId(), stableMac: stableMac() });
    tell(`host fingerprint accepted: ${prefix}…`, { ok: true, fingerprint_prefix: prefix });
    return 0;
  } catch (error) {
    throw new MeshRefusal(`accept-host failed: ${printable(messageOf(error))}`, exitCodes.failed, { cause: error });
  } finally {
    directory.close();
  }
}
