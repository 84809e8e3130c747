/** `version`: of the daemon that runs (spec mesh.md §2). */
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import type { VerbCall } from '../command-line.ts';
import { askDaemon } from '../http/client.ts';
import { exitCodes } from '../refusal.ts';

export async function version({ context, folders, tell }: VerbCall): Promise<number> {
  const { dialer } = await context.clientPlatform();
  let code: number = exitCodes.failed;
  try {
    const { status, body } = await askDaemon(folders.socket, dialer, { method: 'GET', path: '/v1/version' });
    if (status !== 200 || typeof body !== 'object' || body === null) {
      code = status === 401 ? exitCodes.unauthorized : code;
      throw new Error(`HTTP ${status}`);
    }
    const { daemon_version: daemon, ipc_api: ipc, schema_version: schema } = body as Record<string, unknown>;
    tell(printable(`daemon ${daemon} (ipc ${ipc}, schema ${schema})`), body);
    return 0;
  } catch (error) {
    context.complain(`daemon unreachable: ${printable(messageOf(error))}\n`);
    return code;
  }
}
