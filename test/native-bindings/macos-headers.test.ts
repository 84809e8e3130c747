/** The bindings of macOS against values compiled from Apple's headers (test/facts/xnu-values.txt): there is no Mac here. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parsePrototype, recordBindings } from './headers.ts';

const bindings = recordBindings('darwin', ['libc.ts']);
const facts = new Map(
  readFileSync(new URL('../facts/xnu-values.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t') as [string, string]),
);
const ours = new Map(bindings.constants.map(({ name, value }) => [name, value]));

/** Names of ours for what the headers give as a size or an offset. */
const layouts: Readonly<Record<string, string>> = {
  PROC_BSDINFO_BYTES: 'sizeof(struct proc_bsdinfo)',
  BSDINFO_STATUS_OFFSET: 'offsetof(struct proc_bsdinfo,pbi_status)',
  BSDINFO_REAL_USER_OFFSET: 'offsetof(struct proc_bsdinfo,pbi_ruid)',
  BSDINFO_GROUP_OFFSET: 'offsetof(struct proc_bsdinfo,pbi_pgid)',
  BSDINFO_START_SECONDS_OFFSET: 'offsetof(struct proc_bsdinfo,pbi_start_tvsec)',
  BSDINFO_START_MICROSECONDS_OFFSET: 'offsetof(struct proc_bsdinfo,pbi_start_tvusec)',
  SIGINFO_PID_OFFSET: 'offsetof(siginfo_t,si_pid)',
};

test('every constant of macOS that the headers have is theirs', () => {
  const compared = [...ours].flatMap(([name, value]) => {
    const known = facts.get(layouts[name] ?? name);
    return known === undefined ? [] : [[name, value, known]];
  });
  expect(compared.length).toBeGreaterThan(30);
  expect(compared.filter(([, value, known]) => value !== known)).toEqual([]);
});

test('the signals that somebody may ignore have the numbers of macOS', () => {
  const names = 'HUP INT QUIT PIPE ALRM TERM CHLD TSTP TTIN TTOU XCPU XFSZ USR1 USR2'.split(' ');
  const signals = bindings.lists.find(({ name }) => name === 'SIGNALS_SOMEBODY_MAY_IGNORE');
  expect(signals?.values).toEqual(names.map((name) => facts.get(`SIG${name}`)));
});

test('buffers are at least as large as the structures of macOS', () => {
  expect(Number(ours.get('SIGINFO_BYTES'))).toBeGreaterThanOrEqual(Number(facts.get('sizeof(siginfo_t)')));
});

test('a function with dots is declared with them, because arm64 passes those arguments another way', () => {
  const variadic = new Set(['fcntl', 'open', 'openat', 'ioctl', 'syscall', 'prctl', 'sem_open', 'shm_open']);
  const declared = bindings.declarations.map(({ declaration }) => parsePrototype(declaration));
  const wrong = declared.filter(({ name, variadic: dots }) => variadic.has(name) && !dots).map(({ name }) => name);
  expect(wrong).toEqual([]);
});
