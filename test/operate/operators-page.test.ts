/** The commands of docs/operators.md, run as they stand there by a user whose host has what the page speaks of. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { cleanEnvironment, program } from '../support/holdfast.ts';
import { testNeeding } from '../support/needs.ts';
import { chosenPids } from '../support/pid-namespace.ts';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'operators.md'), 'utf8');

/** The commands of the console blocks of a section. */
function commandsOf(title: string): string[] {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${title}\n`)) ?? '';
  const blocks = [...section.matchAll(/^```console\n(.*?)^```/gms)].map(([, text = '']) => text);
  return blocks.flatMap((text) => [...text.matchAll(/^\$ (holdfast .*)$/gm)].map(([, command = '']) => command));
}

/** In a pid namespace, because the verbs speak of all daemons of this user. @returns exit code and output of each command */
async function play(commands: readonly string[], before: string): Promise<{ codes: number[]; output: string }> {
  const home = temporaryFolder();
  mkdirSync(join(home, 'tmp'));
  const steps = commands.map((command) => `${command} </dev/null; echo "-> $?"`).join('\n');
  const token = '00112233445566778899aabbccddeeff';
  const script = `cd "$HOME"; echo ${token} >t; holdfast -serve -mark-children -token-file t || exit 9\n${before}\n${steps}\n`;
  writeFileSync(join(home, 'script'), script);
  const env = cleanEnvironment(home, { PATH: `${dirname(program)}:${process.env.PATH}` });
  const words = ['--pid', '--fork', '--mount-proc', 'sh', join(home, 'script')];
  const child = spawn('unshare', words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output += String(bytes);
    });
  }
  await new Promise((resolve) => child.on('close', resolve));
  return { codes: [...output.matchAll(/^-> (\d+)$/gm)].map(([, code]) => Number(code)), output };
}

/** A session that goes on without its client, with a process in a session of its own. */
const startAgent = `holdfast run --id agent --keep -- sh -c 'setsid sleep 3600 >/dev/null 2>&1 </dev/null & echo begun; exec sleep 3600' >begun &
run=$!
until [ -s begun ]; do sleep 0.1; done
kill $run; wait $run 2>/dev/null`;

testNeeding(chosenPids())('"An agent hangs" can be followed word by word', { timeout: 120_000 }, async () => {
  const commands = commandsOf('An agent hangs');
  const { codes, output } = await play(commands, startAgent);
  expect({ commands: commands.length, codes, output }).toMatchObject({ commands: 6, codes: [0, 0, 0, 0, 0, 0] });
  expect(output).toMatch(/^session +agent +\d+ .* released /m);
  expect(output).toMatch(/^stray +agent +\d+ .* ended +sleep 3600$/m);
});

testNeeding(chosenPids())(
  '"Clear a host after a crash" can be followed word by word',
  { timeout: 120_000 },
  async () => {
    const commands = commandsOf('Clear a host after a crash');
    const crash = `${startAgent}
daemon=$(holdfast status --json | sed 's/.*"pid":\\([0-9]*\\),.*/\\1/'); kill -KILL $daemon
while kill -0 $daemon 2>/dev/null; do sleep 0.1; done
holdfast -serve -mark-children -token-file t || exit 9`.replace(
      'holdfast -serve',
      'echo 00112233445566778899aabbccddeeff >t; holdfast -serve',
    );
    const { codes, output } = await play(commands, crash);
    // Looked: an orphan. Ended. Nothing has ended by itself, so there is nothing to forget. A daemon runs.
    expect({ commands: commands.length, codes, output }).toMatchObject({ commands: 4, codes: [5, 0, 3, 0] });
    expect(output).toMatch(/^orphan +\d+ /m);
    expect(output).toMatch(/^ended +\d+ /m);
  },
);
