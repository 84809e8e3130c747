/** `up`: the daemon itself, in the foreground (spec mesh.md §2, §3). */
import type { VerbCall } from '../command-line.ts';
import { MeshLog } from '../log.ts';
import { runMesh } from '../mesh.ts';
import { meshSettings } from '../settings.ts';

export async function up({ context, folders, flags }: VerbCall): Promise<number> {
  const platform = await context.platform();
  const settings = meshSettings(flags, context.environment, () => platform.host.isContainer());
  const log = new MeshLog(context);
  const { environment } = context;
  return runMesh({
    settings,
    folders,
    platform,
    log,
    environment,
    onEndRequest: (callback) => context.onEndRequest(callback),
  });
}
