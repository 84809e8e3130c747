/** What a process does when it has become idle (src/base/idle-memory.ts), in a process of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const base = join(import.meta.dirname, '..', '..', 'src', 'base');
const urlOf = (file: string): string => JSON.stringify(pathToFileURL(file).href);

test('whenever a daemon becomes idle it keeps the compiled code of what its requests have loaded, as it may be killed later', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-idle-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const cache = join(folder, 'cache');
  mkdirSync(cache);
  const late = join(folder, 'loaded-late.ts');
  writeFileSync(late, 'export const answer: number = 42;\n');
  const script = `
    import { readdirSync, writeSync } from 'node:fs';
    import { trimWhenIdle } from ${urlOf(join(base, 'idle-memory.ts'))};
    import { timings } from ${urlOf(join(base, 'timings.ts'))};
    Object.assign(timings, { idleLookMs: 200 });
    // An hour's work, whatever else the machine does.
    let user = 0;
    process.cpuUsage = () => ({ user, system: 0 });
    const work = () => { user += 3.6e9; };
    const kept = [];
    const look = () => kept.push(readdirSync(${JSON.stringify(cache)}, { recursive: true }).length);
    const steps = [
      async () => {
        look();
        await import(${urlOf(late)});
        work();
      },
      () => {
        look();
        writeSync(1, JSON.stringify(kept));
        process.exit();
      },
    ];
    trimWhenIdle({ trimMemory: () => void steps.shift()?.() });
    setInterval(() => {}, 60_000);
  `;
  const words = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, words, {
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
    encoding: 'utf8',
  });
  const [first = 0, second = 0]: number[] = JSON.parse(stdout || JSON.stringify(stderr));
  expect(first).toBeGreaterThan(0);
  expect(second).toBeGreaterThan(first);
});
