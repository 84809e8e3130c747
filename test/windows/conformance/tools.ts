/**
 * The programs the cases start by name, as batch files on the daemon's PATH. Windows has no POSIX shell, so what the
 * cases have `sh -c` do is written out here, script by script.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const tools: Readonly<Record<string, string>> = {
  cat: 'process.stdin.pipe(process.stdout)',
  sleep: 'sleep(words[0])',
  true: '',
  echo: 'echo(words.join(" "))',
  touch: 'for (const word of words) require("node:fs").writeFileSync(word, "")',
};

const environmentVariable = (name: string) => `print(process.env.${name} ?? "unset")`;

/** The script of `sh -c` as a case has it, and the same in JavaScript. `$$` is the pid a client was told: the wrapper's. */
const shellScripts: Readonly<Record<string, string>> = {
  'sleep 30 & echo $!; wait': 'echo(inBackground(30, "ignore")); sleep(30)',
  'for i in 1 2 3; do echo $i; sleep 0.2; done': 'for (const i of [1, 2, 3]) { echo(i); await pause(0.2); }',
  'echo hi': 'echo("hi")',
  'echo begin; sleep 0.8; echo end': 'echo("begin"); await pause(0.8); echo("end")',
  'sleep 0.3; echo alone; exit 2': 'await pause(0.3); echo("alone"); exit(2)',
  'i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.02; done':
    'for (let i = 0; i < 40; i++) { echo(i); await pause(0.02); }',
  'echo hello; echo oops 1>&2; exit 3': 'echo("hello"); complain("oops"); exit(3)',
  'echo hello; sleep 0.3; echo oops 1>&2; sleep 0.3; exit 3':
    'echo("hello"); await pause(0.3); complain("oops"); await pause(0.3); exit(3)',
  'echo err >&2; exit 5': 'complain("err"); exit(5)',
  "head -c 300000 /dev/zero | tr '\\0' Z": 'print("Z".repeat(300_000))',
  'printf %s "$CONFORM_X"': environmentVariable('CONFORM_X'),
  'printf %s "${CLAUDE_RPC_TOKEN-unset}"': environmentVariable('CLAUDE_RPC_TOKEN'),
  'pwd -P': 'echo(process.cwd().replaceAll("\\\\", "/"))',
  'for i in 1 2 3; do echo $i; done': 'for (const i of [1, 2, 3]) echo(i)',
  'echo $$; sleep 0.1': 'echo(process.ppid); await pause(0.1)',
  'exit 0': 'exit(0)',
  'echo first; exec sleep 30': 'echo("first"); sleep(30)',
  'echo second; exit 4': 'echo("second"); exit(4)',
  'sleep 12 & echo early; exit 7': 'inBackground(12, "inherit"); echo("early"); exit(7)',
  'exec sleep 30': 'sleep(30)',
  // Nothing can be sent that could be ignored; only cases that end it with KILL play it (not-here.ts).
  'trap "" TERM; echo ready; sleep 30': 'echo("ready"); sleep(30)',
  'head -c 500000 | wc -c | tr -d " "': `let bytes = 0;
    process.stdin.on("data", (piece) => {
      bytes += piece.length;
      if (bytes >= 500_000) { echo(500_000); process.stdin.destroy(); }
    })`,
};

/** Whether a script can be run here. */
export function knowsScript(script: string): boolean {
  return script in shellScripts;
}

const prelude = `
const words = process.argv.slice(2);
const { writeSync } = require('node:fs');
const write = (fd, text) => { for (let rest = Buffer.from(text); rest.length > 0; ) rest = rest.subarray(writeSync(fd, rest)); };
const print = (text) => write(1, text);
const echo = (text) => print(text + '\\n');
const complain = (text) => write(2, text + '\\n');
const sleep = (seconds) => { setTimeout(() => {}, Number(seconds) * 1000); };
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const exit = (code) => process.exit(code);
const inBackground = (seconds, stdio) => require('node:child_process').spawn(
  process.execPath, ['-e', 'setTimeout(() => {}, ' + seconds * 1000 + ')'], { stdio: ['ignore', stdio, stdio], detached: true, windowsHide: true },
).pid;
`;

/** Wine's cmd.exe loses percent signs on the way to a batch file. */
const withoutPercent = (script: string) => script.replaceAll('%', '');

/** Fills a folder with them. */
export function writeTools(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, source: string) => {
    writeFileSync(join(folder, `${name}.cjs`), `${prelude}(async () => {\n${source}\n})();\n`);
    writeFileSync(join(folder, `${name}.cmd`), `@"${process.execPath}" "%~dp0${name}.cjs" %*\r\n`);
  };
  for (const [name, source] of Object.entries(tools)) {
    write(name, source);
  }
  const cases = Object.entries(shellScripts).map(
    ([script, source]) => `case ${JSON.stringify(withoutPercent(script))}: ${source}; break;`,
  );
  write(
    'sh',
    `switch (words[1].replaceAll('%', '')) {\n${cases.join('\n')}\ndefault: complain('sh: not known: ' + words[1]); exit(127);\n}`,
  );
}
