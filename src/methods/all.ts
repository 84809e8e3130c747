/** Every method there is; the profile decides which of them are served. */
import type { Settings } from '../daemon/settings.ts';
import type { Method } from './method.ts';
import { type ProcessServices, processMethods } from './process.ts';
import { type ServerServices, serverMethods } from './server.ts';

export type AllServices = ServerServices & ProcessServices & { readonly settings: Settings };

export const allMethods: readonly Method<AllServices>[] = [...serverMethods, ...processMethods];
