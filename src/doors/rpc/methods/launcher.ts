/** `launcher.*` (spec generation-n2.md §3). */
import type { LauncherHandler } from '../../../install/managed-launcher/launcher-handler.ts';
import { RpcError } from '../errors.ts';
import { object, string } from '../params.ts';
import { defineMethod, type Method } from './method.ts';

export interface LauncherServices {
  readonly launcher: Pick<LauncherHandler, 'resolve'>;
}

export const launcherMethods: readonly Method<LauncherServices>[] = [
  defineMethod({
    name: 'launcher.resolve',
    params: object({ cliPath: string() }),
    async run({ cliPath }, { services }) {
      if (cliPath === undefined || cliPath === '') {
        throw new RpcError('invalidParams', 'cliPath is required');
      }
      return { ...(await services.launcher.resolve(cliPath)) };
    },
  }),
];
