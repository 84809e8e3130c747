/** Giving memory back (platform/posix/memory.ts), in a process of its own: a test runner has too large a heap. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const memory = pathToFileURL(join(import.meta.dirname, '..', '..', 'platform', 'posix', 'memory.ts')).href;

/** @returns what the script printed as JSON */
function run(script: string, flags: readonly string[] = []): unknown {
  const begin = `
    import { getHeapCodeStatistics, getHeapSpaceStatistics } from 'node:v8';
    import { Script } from 'node:vm';
    import { trimMemory } from ${JSON.stringify(memory)};
  `;
  const words = [...flags, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', begin + script];
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  return JSON.parse(stdout || JSON.stringify(stderr));
}

test('an idle process keeps no compiled code of functions that do not run, and they run when they are called again', () => {
  const script = `
    const text = Array.from({ length: 100 }, (_, n) => 'function f' + n + '(x) { let y = x + ' + n + ';' + 'y = y * 3 % 1009;'.repeat(50) + 'return y; }').join('');
    const names = Array.from({ length: 100 }, (_, n) => 'f' + n).join(',');
    const functions = new Script(text + '[' + names + ']').runInThisContext();
    const total = () => functions.reduce((sum, each) => sum + each(7), 0);
    const machineCode = () => getHeapSpaceStatistics().find((each) => each.space_name === 'code_space').space_used_size;
    const size = () => getHeapCodeStatistics().bytecode_and_metadata_size + machineCode();
    const [sum, before] = [total(), size()];
    trimMemory();
    const after = size();
    console.log(JSON.stringify({ before, after, sum: sum === total() }));
  `;
  // With code for the processor of all of them, as V8 makes of what runs often.
  const { before, after, sum } = run(script, ['--always-sparkplug']) as { before: number; after: number; sum: boolean };
  expect(sum).toBe(true);
  expect(after).toBeLessThan(before / 10);
});

test('the runtime is as before: it takes compiled code that was kept, which it takes from one with the same settings only', () => {
  const taken = run(`
    const cachedData = new Script('1 + 1').createCachedData();
    const isTaken = () => !new Script('1 + 1', { cachedData }).cachedDataRejected;
    const before = isTaken();
    trimMemory();
    console.log(JSON.stringify([before, isTaken(), typeof gc]));
  `);
  expect(taken).toEqual([true, true, 'undefined']);
});
