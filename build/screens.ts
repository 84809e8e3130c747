/**
 * `npm run build:screens`: runs every command of docs/operators.md in a real terminal of 80 columns, puts in what it shows as
 * text, and the same as a picture into docs/screens.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorsScene, screensOf } from '../test/tools/operators-scene.ts';
import { svgName, svgOf } from './screen-svg.ts';

const path = join(import.meta.dirname, '..', 'docs', 'operators.md');
const pictures = join(import.meta.dirname, '..', 'docs', 'screens');
const server = `holdfast-screens-${process.pid}`;
const prompt = '@@@';

function tmux(...words: readonly string[]): string {
  return execFileSync('tmux', ['-u', '-L', server, ...words], { encoding: 'utf8', env: scene.env });
}

async function screenOf(command: string): Promise<string> {
  tmux('send-keys', '-l', '--', `clear; ${command}; echo '${prompt}'\r`);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const lines = tmux('capture-pane', '-p', '-J').split('\n');
    const end = lines.indexOf(prompt);
    if (end >= 0 && !lines.slice(0, end).some((line) => line.includes('clear; '))) {
      return scene.withoutFolders(
        lines
          .slice(0, end)
          .map((line) => `${line.trimEnd()}\n`)
          .join(''),
      );
    }
  }
}

const scene = await OperatorsScene.start();
try {
  tmux('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '50', '-c', scene.folder, 'sh');
  tmux('send-keys', '-l', '--', 'PS1=\r');
  let page = readFileSync(path, 'utf8');
  for (const { command } of screensOf(page)) {
    const shown = await screenOf(command);
    const start = page.indexOf(`\`\`\`console taken\n$ ${command}\n`);
    const end = page.indexOf('\n```\n', start);
    page = `${page.slice(0, start)}\`\`\`console taken\n$ ${command}\n${shown.trimEnd()}${page.slice(end)}`;
  }
  writeFileSync(path, page);
  rmSync(pictures, { recursive: true, force: true });
  mkdirSync(pictures);
  for (const screen of screensOf(page)) {
    writeFileSync(join(pictures, svgName(screen)), svgOf(screen));
  }
} finally {
  tmux('kill-server');
  await scene[Symbol.asyncDispose]();
}
