/**
 * kernel32.dll: declarations and constants, no decisions. 64-bit layouts.
 * Functions report failure as 0 (or an invalid handle) with `GetLastError()`, except where noted; call it directly
 * after the failed call, koffi keeps the value safe from the runtime in between.
 */
import koffi, { type KoffiFunc } from 'koffi';
import type { Out } from './out.ts';

const kernel32 = koffi.load('kernel32.dll');

/** Opaque HANDLE. Whoever opened it closes it. */
export type Handle = bigint & { readonly __handle: never };
/** Address of native memory or of a function; 0 is NULL. */
export type Address = bigint;

/** Where a buffer lies, for structures that hold addresses. It is valid as long as the buffer is not collected. */
export const addressOf = (buffer: Buffer): Address => koffi.address(buffer);
/** The UTF-16 text at an address, up to its NUL. */
export const textAt = (address: Address): string => koffi.decode.string16(address);

/** BOOL: 0 is false, and every other value is true; some calls answer with more than one bit. */
export type Bool = number;

export const INVALID_HANDLE_VALUE = 0xffff_ffff_ffff_ffffn as Handle;

// ---- errhandlingapi.h, winbase.h, winerror.h

export const GetLastError: KoffiFunc<() => number> = kernel32.func('uint32 __stdcall GetLastError()');

export const ERROR_FILE_NOT_FOUND = 2;
export const ERROR_PATH_NOT_FOUND = 3;
export const ERROR_ACCESS_DENIED = 5;
export const ERROR_SHARING_VIOLATION = 32;
export const ERROR_LOCK_VIOLATION = 33;
export const ERROR_NOT_SUPPORTED = 50;
export const ERROR_FILE_EXISTS = 80;
export const ERROR_INVALID_PARAMETER = 87;
export const ERROR_BROKEN_PIPE = 109;
export const ERROR_PIPE_BUSY = 231;
export const ERROR_PIPE_CONNECTED = 535;
export const ERROR_DELETE_PENDING = 303;
export const ERROR_IO_PENDING = 997;

export const FORMAT_MESSAGE_IGNORE_INSERTS = 0x200;
export const FORMAT_MESSAGE_FROM_SYSTEM = 0x1000;
/** Returns the number of UTF-16 units written, 0 on failure. */
export const FormatMessageW: KoffiFunc<
  (flags: number, source: null, message: number, language: number, text: Buffer, units: number, inserts: null) => number
> = kernel32.func(
  'uint32 __stdcall FormatMessageW(uint32 flags, void *source, uint32 message, uint32 language, void *text, uint32 units, void *inserts)',
);

/** Frees what a function documents as allocated with LocalAlloc. */
export const LocalFree: KoffiFunc<(memory: Address) => Address> = kernel32.func(
  'uintptr_t __stdcall LocalFree(uintptr_t memory)',
);

// ---- handleapi.h

export const CloseHandle: KoffiFunc<(handle: Handle) => Bool> = kernel32.func(
  'int __stdcall CloseHandle(void *handle)',
);
/** Entry point of CloseHandle, for RegisterWaitForSingleObject. */
export const CloseHandleAddress: Address = kernel32.symbol('CloseHandle');

export const DUPLICATE_SAME_ACCESS = 2;
export const DuplicateHandle: KoffiFunc<
  (
    sourceProcess: Handle,
    source: Handle,
    targetProcess: Handle,
    target: Out<Handle | null>,
    access: number,
    inherit: Bool,
    options: number,
  ) => Bool
> = kernel32.func(
  'int __stdcall DuplicateHandle(void *sourceProcess, void *source, void *targetProcess, _Out_ void **target, uint32 access, int inherit, uint32 options)',
);

export const HANDLE_FLAG_INHERIT = 1;
export const SetHandleInformation: KoffiFunc<(handle: Handle, mask: number, flags: number) => Bool> = kernel32.func(
  'int __stdcall SetHandleInformation(void *handle, uint32 mask, uint32 flags)',
);

// ---- consoleapi.h

/** With a NULL handler: whether Ctrl+C is ignored by this process, which its children inherit. */
export const SetConsoleCtrlHandler: KoffiFunc<(handler: null, ignore: Bool) => Bool> = kernel32.func(
  'int __stdcall SetConsoleCtrlHandler(void *handler, int ignore)',
);

// ---- synchapi.h, winbase.h (waits)

export const INFINITE = 0xffff_ffff;
export const WAIT_OBJECT_0 = 0;
export const WaitForSingleObject: KoffiFunc<(handle: Handle, milliseconds: number) => number> = kernel32.func(
  'uint32 __stdcall WaitForSingleObject(void *handle, uint32 milliseconds)',
);
export const CreateEventW: KoffiFunc<(security: null, manualReset: Bool, initial: Bool, name: null) => Handle | null> =
  kernel32.func('void * __stdcall CreateEventW(void *security, int manualReset, int initial, str16 name)');
export const SetEvent: KoffiFunc<(event: Handle) => Bool> = kernel32.func('int __stdcall SetEvent(void *event)');

export const WT_EXECUTEINWAITTHREAD = 0x4;
export const WT_EXECUTEONLYONCE = 0x8;
/** The callback runs on a thread of the system, so it must be native code: the address of an exported function. */
export const RegisterWaitForSingleObject: KoffiFunc<
  (
    wait: Out<Handle | null>,
    object: Handle,
    callback: Address,
    context: Handle,
    milliseconds: number,
    flags: number,
  ) => Bool
> = kernel32.func(
  'int __stdcall RegisterWaitForSingleObject(_Out_ void **wait, void *object, void *callback, void *context, uint32 milliseconds, uint32 flags)',
);
/** With INVALID_HANDLE_VALUE as event it returns when a running callback has returned. */
export const UnregisterWaitEx: KoffiFunc<(wait: Handle, event: Handle) => Bool> = kernel32.func(
  'int __stdcall UnregisterWaitEx(void *wait, void *event)',
);

// ---- fileapi.h, winbase.h (files)

export const GENERIC_READ = 0x8000_0000;
export const GENERIC_WRITE = 0x4000_0000;
export const DELETE = 0x0001_0000;
export const READ_CONTROL = 0x0002_0000;
export const FILE_LIST_DIRECTORY = 0x1;
export const FILE_APPEND_DATA = 0x4;
export const FILE_READ_ATTRIBUTES = 0x80;
export const FILE_WRITE_ATTRIBUTES = 0x100;
export const SYNCHRONIZE = 0x0010_0000;

export const FILE_SHARE_READ = 1;
export const FILE_SHARE_WRITE = 2;
export const FILE_SHARE_DELETE = 4;

export const CREATE_NEW = 1;
export const OPEN_EXISTING = 3;
export const OPEN_ALWAYS = 4;

export const FILE_ATTRIBUTE_DIRECTORY = 0x10;
export const FILE_ATTRIBUTE_NORMAL = 0x80;
export const FILE_ATTRIBUTE_REPARSE_POINT = 0x400;
export const SECURITY_IDENTIFICATION = 0x0001_0000;
export const SECURITY_SQOS_PRESENT = 0x0010_0000;
export const FILE_FLAG_FIRST_PIPE_INSTANCE = 0x0008_0000;
export const FILE_FLAG_OPEN_REPARSE_POINT = 0x0020_0000;
export const FILE_FLAG_BACKUP_SEMANTICS = 0x0200_0000;
export const FILE_FLAG_DELETE_ON_CLOSE = 0x0400_0000;
export const FILE_FLAG_OVERLAPPED = 0x4000_0000;

/** SECURITY_ATTRIBUTES: length, descriptor at 8, inherit flag at 16. */
export const SECURITY_ATTRIBUTES_BYTES = 24;

/** Returns INVALID_HANDLE_VALUE on failure. */
export const CreateFileW: KoffiFunc<
  (
    name: string,
    access: number,
    share: number,
    security: Buffer | null,
    disposition: number,
    flags: number,
    template: null,
  ) => Handle
> = kernel32.func(
  'void * __stdcall CreateFileW(str16 name, uint32 access, uint32 share, void *security, uint32 disposition, uint32 flags, void *template_)',
);
export const CreateDirectoryW: KoffiFunc<(name: string, security: Buffer | null) => Bool> = kernel32.func(
  'int __stdcall CreateDirectoryW(str16 name, void *security)',
);
export const ReadFile: KoffiFunc<
  (file: Handle, bytes: Buffer, length: number, read: Out<number>, overlapped: Buffer | null) => Bool
> = kernel32.func(
  'int __stdcall ReadFile(void *file, void *bytes, uint32 length, _Out_ uint32 *read, void *overlapped)',
);
export const WriteFile: KoffiFunc<
  (file: Handle, bytes: Buffer, length: number, written: Out<number>, overlapped: Buffer | null) => Bool
> = kernel32.func(
  'int __stdcall WriteFile(void *file, void *bytes, uint32 length, _Out_ uint32 *written, void *overlapped)',
);

export const LOCKFILE_FAIL_IMMEDIATELY = 1;
export const LOCKFILE_EXCLUSIVE_LOCK = 2;
export const LockFileEx: KoffiFunc<
  (file: Handle, flags: number, reserved: 0, low: number, high: number, overlapped: Buffer) => Bool
> = kernel32.func(
  'int __stdcall LockFileEx(void *file, uint32 flags, uint32 reserved, uint32 low, uint32 high, void *overlapped)',
);

export const UnlockFileEx: KoffiFunc<
  (file: Handle, reserved: 0, low: number, high: number, overlapped: Buffer) => Bool
> = kernel32.func('int __stdcall UnlockFileEx(void *file, uint32 reserved, uint32 low, uint32 high, void *overlapped)');

export const FileAttributeTagInfo = 9;
/** FILE_ATTRIBUTE_TAG_INFO: attributes at 0, the tag of the reparse point at 4. */
export const FILE_ATTRIBUTE_TAG_INFO_BYTES = 8;
export const GetFileInformationByHandleEx: KoffiFunc<
  (file: Handle, kind: number, information: Buffer, bytes: number) => Bool
> = kernel32.func('int __stdcall GetFileInformationByHandleEx(void *file, int kind, void *information, uint32 bytes)');
/** BY_HANDLE_FILE_INFORMATION: attributes at 0. */
export const BY_HANDLE_FILE_INFORMATION_BYTES = 52;
export const FILE_TYPE_DISK = 1;
export const FILE_TYPE_CHAR = 2;
export const FILE_TYPE_PIPE = 3;
export const GetFileType: KoffiFunc<(file: Handle) => number> = kernel32.func(
  'uint32 __stdcall GetFileType(void *file)',
);
export const GetFullPathNameW: KoffiFunc<(path: string, units: number, full: Buffer, name: null) => number> =
  kernel32.func('uint32 __stdcall GetFullPathNameW(str16 path, uint32 units, void *full, void *name)');
export const GetFileInformationByHandle: KoffiFunc<(file: Handle, information: Buffer) => Bool> = kernel32.func(
  'int __stdcall GetFileInformationByHandle(void *file, void *information)',
);
export const FileDispositionInfo = 4;
export const SetFileInformationByHandle: KoffiFunc<
  (file: Handle, kind: number, information: Buffer, bytes: number) => Bool
> = kernel32.func('int __stdcall SetFileInformationByHandle(void *file, int kind, void *information, uint32 bytes)');

/** sizeof(OVERLAPPED): status 0, transferred 8, offset 16, event 24. Must stay in place while the call is pending. */
export const OVERLAPPED_BYTES = 32;
export const OVERLAPPED_OFFSET_HIGH = 20;
export const OVERLAPPED_EVENT = 24;
export const GetOverlappedResult: KoffiFunc<
  (file: Handle, overlapped: Address, transferred: Out<number>, wait: Bool) => Bool
> = kernel32.func(
  'int __stdcall GetOverlappedResult(void *file, void *overlapped, _Out_ uint32 *transferred, int wait)',
);
export const CancelIoEx: KoffiFunc<(file: Handle, overlapped: Address) => Bool> = kernel32.func(
  'int __stdcall CancelIoEx(void *file, void *overlapped)',
);

// ---- namedpipeapi.h

export const PIPE_ACCESS_INBOUND = 1;
export const PIPE_ACCESS_OUTBOUND = 2;
export const PIPE_ACCESS_DUPLEX = 3;
export const PIPE_REJECT_REMOTE_CLIENTS = 8;
export const PIPE_UNLIMITED_INSTANCES = 255;
/** Returns INVALID_HANDLE_VALUE on failure. Byte type and byte read mode are 0. */
export const CreateNamedPipeW: KoffiFunc<
  (
    name: string,
    open: number,
    mode: number,
    instances: number,
    outBytes: number,
    inBytes: number,
    timeoutMs: number,
    security: Buffer,
  ) => Handle
> = kernel32.func(
  'void * __stdcall CreateNamedPipeW(str16 name, uint32 open, uint32 mode, uint32 instances, uint32 outBytes, uint32 inBytes, uint32 timeoutMs, void *security)',
);
export const ConnectNamedPipe: KoffiFunc<(pipe: Handle, overlapped: Address) => Bool> = kernel32.func(
  'int __stdcall ConnectNamedPipe(void *pipe, void *overlapped)',
);
/** Needs GENERIC_READ. */
export const GetNamedPipeHandleStateW: KoffiFunc<
  (
    pipe: Handle,
    state: null,
    instances: Out<number>,
    collection: null,
    timeout: null,
    user: null,
    units: number,
  ) => Bool
> = kernel32.func(
  'int __stdcall GetNamedPipeHandleStateW(void *pipe, void *state, _Out_ uint32 *instances, void *collection, void *timeout, void *user, uint32 units)',
);
/** Of the process that has opened the other end of an instance. */
export const GetNamedPipeClientProcessId: KoffiFunc<(pipe: Handle, pid: Out<number>) => Bool> = kernel32.func(
  'int __stdcall GetNamedPipeClientProcessId(void *pipe, _Out_ uint32 *pid)',
);
export const GetNamedPipeServerProcessId: KoffiFunc<(pipe: Handle, pid: Out<number>) => Bool> = kernel32.func(
  'int __stdcall GetNamedPipeServerProcessId(void *pipe, _Out_ uint32 *pid)',
);

// ---- processthreadsapi.h

export const CREATE_SUSPENDED = 0x4;
export const DETACHED_PROCESS = 0x8;
export const CREATE_UNICODE_ENVIRONMENT = 0x400;
export const EXTENDED_STARTUPINFO_PRESENT = 0x0008_0000;
export const CREATE_BREAKAWAY_FROM_JOB = 0x0100_0000;
export const CREATE_NO_WINDOW = 0x0800_0000;

/** STARTUPINFOEXW: size at 0, flags at 60, three standard handles from 80, attribute list at 104. */
export const STARTUPINFOEX_BYTES = 112;
export const STARTUPINFO_FLAGS = 60;
export const STARTUPINFO_HANDLES = 80;
export const STARTUPINFO_ATTRIBUTES = 104;
export const STARTF_USESTDHANDLES = 0x100;
/** PROCESS_INFORMATION: process at 0, thread at 8, pid at 16. */
export const PROCESS_INFORMATION_BYTES = 24;

export const CreateProcessW: KoffiFunc<
  (
    application: string,
    commandLine: Buffer,
    processSecurity: null,
    threadSecurity: null,
    inherit: Bool,
    flags: number,
    environment: Buffer,
    directory: string | null,
    startup: Buffer,
    information: Buffer,
  ) => Bool
> = kernel32.func(
  'int __stdcall CreateProcessW(str16 application, void *commandLine, void *processSecurity, void *threadSecurity, int inherit, uint32 flags, void *environment, str16 directory, void *startup, void *information)',
);

export const PROC_THREAD_ATTRIBUTE_HANDLE_LIST = 0x2_0002;
export const PROC_THREAD_ATTRIBUTE_JOB_LIST = 0x2_000d;
/** With a null list it only writes the size needed, and returns false. */
export const InitializeProcThreadAttributeList: KoffiFunc<
  (list: Buffer | null, count: number, flags: 0, bytes: Buffer) => Bool
> = kernel32.func(
  'int __stdcall InitializeProcThreadAttributeList(void *list, uint32 count, uint32 flags, void *bytes)',
);
/** Keeps the address of `value`: it must outlive the list. */
export const UpdateProcThreadAttribute: KoffiFunc<
  (list: Buffer, flags: 0, attribute: number, value: Address, bytes: number, previous: null, returned: null) => Bool
> = kernel32.func(
  'int __stdcall UpdateProcThreadAttribute(void *list, uint32 flags, uintptr_t attribute, void *value, size_t bytes, void *previous, void *returned)',
);
export const DeleteProcThreadAttributeList: KoffiFunc<(list: Buffer) => void> = kernel32.func(
  'void __stdcall DeleteProcThreadAttributeList(void *list)',
);
/** Returns 0xffffffff on failure. */
export const ResumeThread: KoffiFunc<(thread: Handle) => number> = kernel32.func(
  'uint32 __stdcall ResumeThread(void *thread)',
);

export const PROCESS_TERMINATE = 0x1;
export const PROCESS_VM_READ = 0x10;
export const PROCESS_DUP_HANDLE = 0x40;
export const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;
export const OpenProcess: KoffiFunc<(access: number, inherit: Bool, pid: number) => Handle | null> = kernel32.func(
  'void * __stdcall OpenProcess(uint32 access, int inherit, uint32 pid)',
);
/** A pseudo handle; needs no closing. */
export const GetCurrentProcess: KoffiFunc<() => Handle> = kernel32.func('void * __stdcall GetCurrentProcess()');
export const GetProcessId: KoffiFunc<(process: Handle) => number> = kernel32.func(
  'uint32 __stdcall GetProcessId(void *process)',
);
/** Each time is a FILETIME: 100 ns since 1601-01-01, 8 bytes. */
export const GetProcessTimes: KoffiFunc<
  (process: Handle, creation: Buffer, exit: Buffer, kernel: Buffer, user: Buffer) => Bool
> = kernel32.func('int __stdcall GetProcessTimes(void *process, void *creation, void *exit, void *kernel, void *user)');
export const GetExitCodeProcess: KoffiFunc<(process: Handle, code: Out<number>) => Bool> = kernel32.func(
  'int __stdcall GetExitCodeProcess(void *process, _Out_ uint32 *code)',
);
export const TerminateProcess: KoffiFunc<(process: Handle, code: number) => Bool> = kernel32.func(
  'int __stdcall TerminateProcess(void *process, uint32 code)',
);
export const GetProcessHandleCount: KoffiFunc<(process: Handle, count: Out<number>) => Bool> = kernel32.func(
  'int __stdcall GetProcessHandleCount(void *process, _Out_ uint32 *count)',
);
export const ReadProcessMemory: KoffiFunc<
  (process: Handle, address: Address, bytes: Buffer, length: number, read: null) => Bool
> = kernel32.func(
  'int __stdcall ReadProcessMemory(void *process, void *address, void *bytes, size_t length, void *read)',
);

// ---- jobapi2.h

export const CreateJobObjectW: KoffiFunc<(security: null, name: null) => Handle | null> = kernel32.func(
  'void * __stdcall CreateJobObjectW(void *security, str16 name)',
);
export const JobObjectExtendedLimitInformation = 9;
/** JOBOBJECT_EXTENDED_LIMIT_INFORMATION: flags at 16. */
export const JOB_LIMITS_BYTES = 144;
export const JOB_LIMITS_FLAGS = 16;
export const JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000;
export const SetInformationJobObject: KoffiFunc<
  (job: Handle, kind: number, information: Buffer, bytes: number) => Bool
> = kernel32.func('int __stdcall SetInformationJobObject(void *job, int kind, void *information, uint32 bytes)');
/** @param job NULL: any job */
export const IsProcessInJob: KoffiFunc<(process: Handle, job: Handle | null, result: Out<Bool>) => Bool> =
  kernel32.func('int __stdcall IsProcessInJob(void *process, void *job, _Out_ int *result)');
export const TerminateJobObject: KoffiFunc<(job: Handle, code: number) => Bool> = kernel32.func(
  'int __stdcall TerminateJobObject(void *job, uint32 code)',
);
