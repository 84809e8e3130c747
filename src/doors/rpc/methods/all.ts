/** Every method there is; the profile decides which of them are served. */

import type { PluginServices } from '../../../files/plugin-prune.ts';
import type { FilesServices } from '../../../files/services.ts';
import type { GitServices } from '../../../git/run/services.ts';
import { filesMethods } from './files.ts';
import { gitMethods } from './git.ts';
import type { Method } from './method.ts';
import { pluginsMethods } from './plugins.ts';
import { type ProcessServices, processMethods } from './process.ts';
import { type ServerServices, serverMethods } from './server.ts';

export type AllServices = ServerServices & FilesServices & GitServices & ProcessServices & PluginServices;

export const allMethods: readonly Method<AllServices>[] = [
  ...serverMethods,
  ...filesMethods,
  ...gitMethods,
  ...processMethods,
  ...pluginsMethods,
];
