/** Every method there is; the profile decides which of the contract's are served. */

import type { PluginServices } from '../../../files/plugin-prune.ts';
import type { FilesServices } from '../../../files/services.ts';
import type { GitServices } from '../../../git/run/services.ts';
import { filesMethods } from './files.ts';
import { gitMethods } from './git.ts';
import { type HoldfastServices, holdfastMethods } from './holdfast.ts';
import { type LauncherServices, launcherMethods } from './launcher.ts';
import type { Method } from './method.ts';
import { pluginsMethods } from './plugins.ts';
import { type ProcessServices, processMethods } from './process.ts';
import { type ServerServices, serverMethods } from './server.ts';

export type AllServices = ServerServices &
  FilesServices &
  GitServices &
  ProcessServices &
  PluginServices &
  LauncherServices &
  HoldfastServices;

export const contractMethods: readonly Method<AllServices>[] = [
  ...serverMethods,
  ...filesMethods,
  ...gitMethods,
  ...launcherMethods,
  ...processMethods,
  ...pluginsMethods,
];

/** Served in every profile, and in no list (spec extensions.md §1). */
export const extensionMethods: readonly Method<AllServices>[] = holdfastMethods;
