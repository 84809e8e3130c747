/** Durations as Go's `time` package reads and prints them: the contract's flags, files and texts use its spelling. */

const largestInt64 = 2n ** 63n - 1n;

const nanosecondsPer: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5, micro sign
  \u03bcs: 1_000n, // U+03BC, Greek mu
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** `1h30m`, `1.5h`, `300ms`, `-2m`, `0` in milliseconds, summed exactly in nanoseconds; `undefined` for other texts. */
export function parseDuration(text: string): number | undefined {
  const [, sign = '', body = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (body === '0') {
    return 0;
  }
  if (body === '') {
    return undefined;
  }
  const term = /([0-9]{0,40})(?:\.([0-9]{0,40}))?([a-zµ\u03bc]+)/y;
  let nanoseconds = 0n;
  while (term.lastIndex < body.length) {
    const match = term.exec(body);
    if (match === null) {
      return undefined;
    }
    const [, whole = '', fraction = '', unit = ''] = match;
    const scale = nanosecondsPer[unit];
    if (scale === undefined || whole + fraction === '') {
      return undefined;
    }
    nanoseconds += BigInt(whole) * scale + (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
  }
  if (nanoseconds > largestInt64) {
    return undefined;
  }
  const milliseconds = Number(nanoseconds) / 1e6;
  return sign === '-' && milliseconds !== 0 ? -milliseconds : milliseconds;
}

/** `300ms`, `1.5s`, `1m0s`, `2h0m0s`: a duration of zero or more as Go prints it, exact to the nanosecond. */
export function goDuration(milliseconds: number): string {
  const nanoseconds = BigInt(Math.round(milliseconds * 1e6));
  if (nanoseconds === 0n) {
    return '0s';
  }
  for (const unit of ['ns', 'µs', 'ms'] as const) {
    const scale = nanosecondsPer[unit] ?? 1n;
    if (nanoseconds < scale * 1_000n) {
      return `${decimal(nanoseconds, scale)}${unit}`;
    }
  }
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 1_000_000_000n)}s`;
  const minutes = nanoseconds / 60_000_000_000n;
  if (minutes === 0n) {
    return seconds;
  }
  const hours = minutes / 60n;
  return hours === 0n ? `${minutes}m${seconds}` : `${hours}h${minutes % 60n}m${seconds}`;
}

/** The same in whole seconds, for times that were measured: `4m59s`. */
export function goDurationInSeconds(milliseconds: number): string {
  return goDuration(Math.round(milliseconds / 1_000) * 1_000);
}

/** `amount / scale` without zeros at its end. */
function decimal(amount: bigint, scale: bigint): string {
  const fraction = (amount % scale)
    .toString()
    .padStart(scale.toString().length - 1, '0')
    .replace(/0+$/, '');
  return `${amount / scale}${fraction === '' ? '' : `.${fraction}`}`;
}
