/** A bar for each figure: how far beyond its target it is. */
import { type Row, short } from './report.ts';

const width = 900;
const labelWidth = 400;
const barHeight = 18;
const step = 26;
const top = 44;
/** Factors from here to there, on a logarithmic scale. */
const least = 1 / 8;
const most = 8;

/** How many times better than asked; below 1 the target is missed. */
function factor({ target, ours, ratio }: Row): number {
  const value = (ratio ?? ours).median;
  return 'atLeast' in target ? value / target.atLeast : target.atMost / value;
}

function position(value: number): number {
  const share = Math.log(Math.min(most, Math.max(least, value)) / least) / Math.log(most / least);
  return labelWidth + share * (width - labelWidth - 60);
}

/** An SVG picture that stands on light and dark pages. */
export function chart(rows: readonly Row[]): string {
  const height = top + rows.length * step + 12;
  const centre = position(1);
  const bars = rows.map((row, index) => {
    const y = top + index * step;
    const value = factor(row);
    const end = position(value);
    const colour = row.met ? '#2f7d4f' : '#b3541e';
    return [
      `<text x="${labelWidth - 12}" y="${y + 13}" text-anchor="end">${escaped(row.what.replaceAll('`', ''))}</text>`,
      `<rect x="${Math.min(centre, end).toFixed(1)}" y="${y}" width="${Math.max(1, Math.abs(end - centre)).toFixed(1)}" height="${barHeight}" fill="${colour}"/>`,
      `<text x="${(Math.max(centre, end) + 6).toFixed(1)}" y="${y + 13}">${short(value)}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#777">
<title>Each figure against its target</title>
<text x="${centre.toFixed(1)}" y="20" text-anchor="middle">the target</text>
<line x1="${centre.toFixed(1)}" x2="${centre.toFixed(1)}" y1="28" y2="${height - 6}" stroke="#777"/>
${bars.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
