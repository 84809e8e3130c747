/** A duration as Go prints it: `300ms`, `1.5s`, `1m0s`, `2h0m0s`. */
export function goDuration(ms: number): string {
  if (ms === 0) {
    return '0s';
  }
  if (ms < 1) {
    return `${Number((ms * 1_000).toFixed(3))}µs`;
  }
  if (ms < 1_000) {
    return `${Number(ms.toFixed(6))}ms`;
  }
  const seconds = ms / 1_000;
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Number((seconds % 60).toFixed(3))}s`;
  if (hours > 0) {
    return `${hours}h${minutes}m${rest}`;
  }
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
