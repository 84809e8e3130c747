/** A screen of a terminal as a picture: the lines as they stand there, in a fixed-width font, selectable and searchable. */
import type { Screen } from '../test/tools/operators-scene.ts';

/** As the screens are taken (build/screens.ts). */
const columns = 80;
const fontSize = 14;
/** Of a character; `textLength` holds every font to it. */
const advance = 8.4;
const lineHeight = 18;
const margin = 12;

/** Name of the file of a screen, made of the words of its command. */
export function svgName({ command }: Pick<Screen, 'command'>): string {
  const words = command.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `${words.slice(0, 8).join('-')}.svg`;
}

export function svgOf({ command, shown }: Screen): string {
  const prompt = wrappedAt(`$ ${command}`);
  const lines = [...prompt, ...shown.trimEnd().split('\n').flatMap(wrappedAt)];
  const width = Math.ceil(columns * advance) + 2 * margin;
  const height = lines.length * lineHeight + 2 * margin;
  const rows = lines.map((line, index) => {
    if (line === '') {
      return '';
    }
    const y = margin + index * lineHeight + fontSize;
    const length = ([...line].length * advance).toFixed(1);
    const kind = index < prompt.length ? ' class="command"' : '';
    return `  <text x="${margin}" y="${y}" textLength="${length}" lengthAdjust="spacingAndGlyphs"${kind}>${escaped(line)}</text>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
  <title>${escaped(command)}</title>
  <style>
    rect { fill: #1e2127; }
    text { fill: #d7dae0; font: ${fontSize}px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre; }
    .command { fill: #98c379; }
  </style>
  <rect width="${width}" height="${height}" rx="6"/>
${rows.join('')}</svg>
`;
}

/** A terminal breaks a line that is too long for it wherever that is. */
function wrappedAt(line: string): string[] {
  const characters = [...line];
  const count = Math.max(1, Math.ceil(characters.length / columns));
  return Array.from({ length: count }, (_, row) => characters.slice(row * columns, (row + 1) * columns).join(''));
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? character);
}
