/** A fixture that writes: nothing of it depends on how fast it is read. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { processFacts } from './processes.ts';
import { waitUntil } from './wait.ts';

test.each(['stdout', 'stderr'] as const)(
  'its %s is written whole, also when nobody reads for a while',
  async (name) => {
    const folder = mkdtempSync('/tmp/hf-');
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const begun = join(folder, 'begun');
    const script = [
      `import { ChildLog } from '${join(import.meta.dirname, '../fixtures/child-log.ts')}';`,
      "import { writeFileSync } from 'node:fs';",
      // As Node.js does to stderr of its own accord: a pipe that it has looked at does not wait any more.
      `process.${name};`,
      `writeFileSync('${begun}', '');`,
      `new ChildLog(undefined, '').write('${name}', Buffer.alloc(1_000_000));`,
    ];
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script.join('\n')]);
    onTestFinished(() => void child.kill('SIGKILL'));
    let code: number | null | undefined;
    child.on('exit', (exitCode) => {
      code = exitCode;
    });
    await waitUntil(() => existsSync(begun), 'the beginning');
    await waitUntil(() => code !== undefined || processFacts(child.pid ?? 0)?.state === 'S', 'the pipe to be full');
    let bytes = 0;
    for await (const piece of child[name]) {
      bytes += piece.length;
    }
    await waitUntil(() => code !== undefined, 'the end');
    expect([code, bytes]).toEqual([0, 1_000_000]);
  },
);
