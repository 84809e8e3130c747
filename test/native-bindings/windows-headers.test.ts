/** The bindings of Windows against mingw's headers: compiled, never run (there is no Windows SDK here). */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { installed, testNeeding } from '../support/needs.ts';
import { assertionsFor, type Equality, parsePrototype, recordBindings } from './headers.ts';

const compiler = 'x86_64-w64-mingw32-g++';
const mingw = installed(compiler, 'g++-mingw-w64-x86-64-win32');

const bindings = recordBindings('win32', ['kernel32.ts', 'advapi32.ts', 'ntdll.ts']);

/** Sizes and offsets have names of ours; everything else has the name of the headers. */
const layouts: Readonly<Record<string, string>> = {
  BY_HANDLE_FILE_INFORMATION_BYTES: 'sizeof(BY_HANDLE_FILE_INFORMATION)',
  FILE_ATTRIBUTE_TAG_INFO_BYTES: 'sizeof(FILE_ATTRIBUTE_TAG_INFO)',
  SECURITY_ATTRIBUTES_BYTES: 'sizeof(SECURITY_ATTRIBUTES)',
  OVERLAPPED_BYTES: 'sizeof(OVERLAPPED)',
  OVERLAPPED_OFFSET_HIGH: 'offsetof(OVERLAPPED, OffsetHigh)',
  OVERLAPPED_EVENT: 'offsetof(OVERLAPPED, hEvent)',
  STARTUPINFOEX_BYTES: 'sizeof(STARTUPINFOEXW)',
  STARTUPINFO_FLAGS: 'offsetof(STARTUPINFOW, dwFlags)',
  STARTUPINFO_HANDLES: 'offsetof(STARTUPINFOW, hStdInput)',
  STARTUPINFO_ATTRIBUTES: 'offsetof(STARTUPINFOEXW, lpAttributeList)',
  PROCESS_INFORMATION_BYTES: 'sizeof(PROCESS_INFORMATION)',
  PROCESS_BASIC_INFORMATION_BYTES: 'sizeof(PROCESS_BASIC_INFORMATION)',
  PROCESS_ENTRY_CREATE_TIME: 'offsetof(SYSTEM_PROCESS_INFORMATION, CreateTime)',
  PROCESS_ENTRY_USER_TIME: 'offsetof(SYSTEM_PROCESS_INFORMATION, UserTime)',
  PROCESS_ENTRY_KERNEL_TIME: 'offsetof(SYSTEM_PROCESS_INFORMATION, KernelTime)',
  PROCESS_ENTRY_PID: 'offsetof(SYSTEM_PROCESS_INFORMATION, UniqueProcessId)',
  PROCESS_ENTRY_PARENT: 'offsetof(SYSTEM_PROCESS_INFORMATION, InheritedFromUniqueProcessId)',
  PROCESS_ENTRY_WORKING_SET: 'offsetof(SYSTEM_PROCESS_INFORMATION, VirtualMemoryCounters.WorkingSetSize)',
  JOB_LIMITS_BYTES: 'sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION)',
  JOB_LIMITS_FLAGS: 'offsetof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION, BasicLimitInformation.LimitFlags)',
};

/** Macros that mingw does not have or computes from others; the expression is that of the Windows SDK. */
const spelled: Readonly<Record<string, string>> = {
  INVALID_HANDLE_VALUE: '(ULONG_PTR)(LONG_PTR)-1',
  HKEY_LOCAL_MACHINE: '(ULONG_PTR)((LONG)0x80000002)',
  PROC_THREAD_ATTRIBUTE_HANDLE_LIST: 'ProcThreadAttributeValue(ProcThreadAttributeHandleList, FALSE, TRUE, FALSE)',
  PROC_THREAD_ATTRIBUTE_JOB_LIST: 'ProcThreadAttributeValue(13, FALSE, TRUE, FALSE)',
};

/** In no header of mingw; the value is that of Microsoft's ntddk.h. An address is no constant of a header. */
const notInHeaders = new Set(['ProcessCommandLineInformation', 'CloseHandleAddress']);

/** Numbers that stand in `platform/win32` and the offsets that its files read and write by. */
const unnamed: readonly Equality[] = [
  ['errorTooManyOpenFiles (handles.ts)', 4, 'ERROR_TOO_MANY_OPEN_FILES'],
  ['errorCannotResolve (plain-file.ts)', 1921, 'ERROR_CANT_RESOLVE_FILENAME'],
  ['errorInvalidName (files.ts)', 123, 'ERROR_INVALID_NAME'],
  ['errorNameTooLong (launch.ts)', 206, 'ERROR_FILENAME_EXCED_RANGE'],
  ['errorPathNotFound (paths.ts)', 3, 'ERROR_PATH_NOT_FOUND'],
  ['errorPathNotFound (files.ts)', 3, 'ERROR_PATH_NOT_FOUND'],
  ['errorNoDirectory (files.ts)', 267, 'ERROR_DIRECTORY'],
  ['errorNoDirectory (directory-handle.ts)', 267, 'ERROR_DIRECTORY'],
  ['statusUnsuccessful (pipe-server.ts)', 0xc000_0001, '(DWORD)0xC0000001L'],
  ['english (system-errors.ts)', 0x409, 'MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US)'],
  ['attributes of a file (handles.ts)', 0, 'offsetof(BY_HANDLE_FILE_INFORMATION, dwFileAttributes)'],
  ['tag of a reparse point (handles.ts)', 4, 'offsetof(FILE_ATTRIBUTE_TAG_INFO, ReparseTag)'],
  ['descriptor of SECURITY_ATTRIBUTES', 8, 'offsetof(SECURITY_ATTRIBUTES, lpSecurityDescriptor)'],
  ['inherit flag of SECURITY_ATTRIBUTES', 16, 'offsetof(SECURITY_ATTRIBUTES, bInheritHandle)'],
  ['thread of PROCESS_INFORMATION (launch.ts)', 8, 'offsetof(PROCESS_INFORMATION, hThread)'],
  ['pid of PROCESS_INFORMATION (launch.ts)', 16, 'offsetof(PROCESS_INFORMATION, dwProcessId)'],
  ['parametersInPeb (identity.ts)', 0x20, 'offsetof(PEB, ProcessParameters)'],
  ['commandLineInParameters (identity.ts)', 0x70, 'offsetof(RTL_USER_PROCESS_PARAMETERS, CommandLine)'],
  ['sharing violation (turns.ts)', 32, 'ERROR_SHARING_VIOLATION'],
  ['delete pending (turns.ts)', 303, 'ERROR_DELETE_PENDING'],
  ['lock violation (turns.ts)', 33, 'ERROR_LOCK_VIOLATION'],
  ['io pending (turns.ts)', 997, 'ERROR_IO_PENDING'],
  ['errorAccessDenied (turns.ts)', 5, 'ERROR_ACCESS_DENIED'],
  ['nameSurrogate (reparse-tags.ts)', 0x2000_0000, 'IO_REPARSE_TAG_SYMLINK & ~0x8000000CUL'],
  ['FILETIME', 8, 'sizeof(FILETIME)'],
].map(([what, ours, expression]) => ({ what: String(what), ours: String(ours), expression: String(expression) }));

function compile(code: string): { readonly ok: boolean; readonly complaints: readonly string[] } {
  const run = spawnSync(compiler, ['-std=c++17', '-fsyntax-only', '-w', '-x', 'c++', '-'], {
    input: code,
    encoding: 'utf8',
  });
  const complaints = run.stderr.split('\n').filter((line) => line.includes('error:'));
  return { ok: run.status === 0, complaints };
}

const includes = ['windows.h', 'winternl.h', 'sddl.h', 'aclapi.h'];
const prologue = '#define _WIN32_WINNT 0x0A00\n#define NTDDI_VERSION 0x0A000006\n';

testNeeding(mingw)(
  'every constant, size, offset and prototype of Windows is that of the headers',
  { timeout: 120_000 },
  () => {
    const equalities = bindings.constants
      .filter(({ name }) => !notInHeaders.has(name))
      .map(({ file, name, value }) => ({
        what: `${name} (${file})`,
        ours: value,
        expression: layouts[name] ?? spelled[name] ?? name,
      }));
    const prototypes = bindings.declarations.map(({ declaration }) => parsePrototype(declaration));
    expect(equalities.length).toBeGreaterThan(80);
    expect(prototypes.length).toBeGreaterThan(40);
    expect(compile(prologue + assertionsFor(includes, [...equalities, ...unnamed], prototypes))).toEqual({
      ok: true,
      complaints: [],
    });
  },
);

testNeeding(mingw)('a wrong number, a missing parameter and a wrong width are found', { timeout: 120_000 }, () => {
  const wrong = assertionsFor(
    includes,
    [{ what: 'x', ours: '5', expression: 'OPEN_EXISTING' }],
    [
      parsePrototype('int __stdcall FlushFileBuffers(void *file, int more)'),
      parsePrototype('int __stdcall CloseHandle(int handle)'),
      parsePrototype('bool __stdcall SetEndOfFile(void *file)'),
    ],
  );
  const { complaints } = compile(prologue + wrong);
  for (const reason of [
    'x is not 5',
    'FlushFileBuffers does not have 2 parameters',
    'parameter 0 of CloseHandle does not have 4 bytes',
    'the result of SetEndOfFile does not have 1 bytes',
  ]) {
    expect(complaints).toContainEqual(expect.stringContaining(reason));
  }
});

test('no function of Windows is declared with bool, which reads one bit of a BOOL', () => {
  expect(bindings.declarations.filter(({ declaration }) => /\bbool\b/.test(declaration))).toEqual([]);
});
