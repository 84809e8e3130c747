/** One figure of a benchmark with its target, and how an area hands its figures in. */

export type Target = { readonly atLeast: number } | { readonly atMost: number };

export interface Row {
  readonly area: string;
  /** What was measured, in the words of the table. */
  readonly what: string;
  /** What `ours` and `theirs` count. */
  readonly unit: string;
  /** What the product is measured against; absent for absolute figures. */
  readonly yardstick?: string;
  readonly ours: Spread;
  readonly theirs?: Spread;
  /** Ours divided by theirs in each round; absent for absolute figures, where the target is one of `ours`. */
  readonly ratio?: Spread;
  readonly target: Target;
  readonly met: boolean;
  /** How to measure it again. */
  readonly command: string;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export interface Measured {
  readonly area: string;
  readonly what: string;
  readonly unit: string;
  readonly target: Target;
  readonly ours: readonly number[];
}

/** A figure that has its target by itself. */
export function absolute(measured: Measured): Row {
  const ours = spread(measured.ours);
  return { ...named(measured), ours, met: isMet(ours.median, measured.target) };
}

/** A figure against a yardstick of the same run; `[]` where the yardstick could not be built. */
export function against(yardstick: string, theirs: readonly number[] | undefined, measured: Measured): readonly Row[] {
  if (theirs === undefined) {
    return [];
  }
  const ratio = spread(measured.ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
  return [
    {
      ...named(measured),
      yardstick,
      ours: spread(measured.ours),
      theirs: spread(theirs),
      ratio,
      met: isMet(ratio.median, measured.target),
    },
  ];
}

function named({ area, what, unit, target }: Measured) {
  return { area, what, unit, target, command: `npm run bench -- ${area}` };
}

function isMet(value: number, target: Target): boolean {
  return 'atLeast' in target ? value >= target.atLeast : value <= target.atMost;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { min: sorted[0] ?? 0, median: sorted[Math.floor(sorted.length / 2)] ?? 0, max: sorted.at(-1) ?? 0 };
}

export function targetText(target: Target): string {
  return 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

/** Three significant digits, whole numbers from 1,000 on. */
export function short(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}

/** Prints the rows of an area and, in a child of bench/run.ts, hands them to it. */
export function report(rows: readonly Row[]): void {
  for (const row of rows) {
    const compared =
      row.ratio === undefined || row.theirs === undefined
        ? ''
        : ` | ${row.yardstick} ${short(row.theirs.median)} | ratio ${short(row.ratio.median)} (${short(row.ratio.min)}–${short(row.ratio.max)})`;
    console.log(
      `${row.met ? 'met   ' : 'MISSED'} ${row.what}: ${short(row.ours.median)} ${row.unit} (min ${short(row.ours.min)})${compared} | target ${targetText(row.target)}`,
    );
  }
  process.send?.(rows);
}
