/** The logon task of Windows, as the task scheduler reads it; this system has none, so it is the XML that is looked at. */
import { spawnSync } from 'node:child_process';
import { afterEach, expect, test, vi } from 'vitest';
import { splitWords } from '../../platform/win32/command-line.ts';
import { taskScheduler } from '../../platform/win32/task-scheduler.ts';

afterEach(() => void vi.unstubAllEnvs());

const command = ['C:\\Users\\Ann & Bob\\holdfast.exe', 'service', 'start', '--', '-socket', 'C:\\a b\\"x"\\rpc.sock'];

test('is one of this user, begins when they log on, needs no administrator, and is never ended by a clock', () => {
  vi.stubEnv('USERNAME', 'ann');
  vi.stubEnv('USERDOMAIN', 'CORP');
  const xml = taskScheduler('daemon').definition({ command, keepsChildren: false });
  expect(xml).toContain('<LogonTrigger>');
  expect(xml.match(/<UserId>CORP\\ann<\/UserId>/g)).toHaveLength(2);
  expect(xml).toContain('<RunLevel>LeastPrivilege</RunLevel>');
  expect(xml).toContain('<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>');
  expect(xml).toContain('<Command>C:\\Users\\Ann &amp; Bob\\holdfast.exe</Command>');
  const words = /<Arguments>(.*)<\/Arguments>/.exec(xml)?.[1] ?? '';
  expect(splitWords(`holdfast.exe ${words}`).slice(1)).toEqual(command.slice(1));
});

test('is XML, with our mark in it', () => {
  const xml = taskScheduler('daemon').definition({ command, keepsChildren: true });
  expect(xml).toContain(taskScheduler('daemon').mark);
  const parse =
    'import sys, xml.dom.minidom as m; print(m.parseString(sys.stdin.buffer.read()).documentElement.tagName)';
  const { stdout, stderr } = spawnSync('python3', ['-c', parse], { input: xml, encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: 'Task\n', stderr: '' });
});

test('a word that XML cannot carry is refused', () => {
  expect(() => taskScheduler('daemon').definition({ command: ['a', '\u0007'], keepsChildren: false })).toThrow(
    /cannot carry/,
  );
});
