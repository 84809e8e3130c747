/** The one place that asks which operating system this is. Everything else receives a `Platform`. */
import { HostError } from './errors.ts';
import type { Platform } from './platform.ts';

// Imported on demand, so the bindings of the other OS are never looked up.
const adapters: Partial<Record<NodeJS.Platform, () => Promise<{ createPlatform(): Platform }>>> = {
  linux: () => import('./posix/index.ts'),
  darwin: () => import('./posix/index.ts'),
  win32: () => import('./win32/index.ts'),
};

export async function loadPlatform(os: NodeJS.Platform = process.platform): Promise<Platform> {
  const load = adapters[os];
  if (load === undefined) {
    throw new HostError(`no adapter for ${os}`, `supported: ${Object.keys(adapters).join(', ')}`);
  }
  return (await load()).createPlatform();
}
