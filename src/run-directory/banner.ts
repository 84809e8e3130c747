import type { Settings } from '../config/settings.ts';

/** The line that says that the daemon serves (spec modes.md §7 step 8). */
export function banner({ profile, socketPath }: Settings, instanceId: string): string {
  const suffix = profile.modes.bannerSuffix ? ` (pid ${process.pid}, instance ${instanceId})` : '';
  return `Claustrum remote server listening on ${socketPath}${suffix}`;
}
