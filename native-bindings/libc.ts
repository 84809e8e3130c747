/**
 * The C library of Linux and macOS: declarations and constants, no decisions.
 * Sizes and numbers are those of 64-bit glibc, musl and Darwin. Opaque structures are passed as zeroed buffers that are
 * large enough on each of them. Functions report failure as -1 with `koffi.errno()`, except where noted.
 */
import koffi, { type KoffiFunc } from 'koffi';
import type { Out } from './out.ts';

const darwin = process.platform === 'darwin';

/** musl's loader has the library under another name; `null` asks the running program itself, which links it. */
const libc = koffi.load(darwin ? '/usr/lib/libSystem.B.dylib' : null);

/** For `const char *`: text goes as UTF-8, bytes go as they are and end with a NUL. */
type CString = string | Buffer;

/** A function that older systems lack. */
function whereKnown<F extends (...parameters: never[]) => unknown>(declaration: string): KoffiFunc<F> | undefined {
  try {
    return libc.func(declaration) as KoffiFunc<F>;
  } catch {
    return undefined;
  }
}

/** Where a buffer lies, for structures that hold addresses. It is valid as long as the buffer is not collected. */
export const addressOf = (buffer: Buffer): bigint => koffi.address(buffer);

/** Reads errno; call it directly after the failed call. */
export const errno = (): number => koffi.errno();

// ---- unistd.h, fcntl.h

export const O_CLOEXEC = darwin ? 0x1000000 : 0o2000000;
/** Linux only: a descriptor that names a file without opening it. */
export const O_PATH = 0o10000000;
export const FD_CLOEXEC = 1;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const O_ACCMODE = 3;

/** Linux only; macOS has no atomic variant. */
export const pipe2: KoffiFunc<(ends: Int32Array, flags: number) => number> | undefined = darwin
  ? undefined
  : libc.func('int pipe2(int *ends, int flags)');
export const pipe: KoffiFunc<(ends: Int32Array) => number> = libc.func('int pipe(int *ends)');
/** On macOS the arguments behind the dots travel another way (see `openatVariadic`); `int` is the type of that argument. */
const fcntlVariadic: KoffiFunc<(fd: number, command: number, type: 'int', argument: number) => number> | undefined =
  darwin ? libc.func('int fcntl(int fd, int command, ...)') : undefined;
export const fcntl: (fd: number, command: number, argument: number) => number =
  fcntlVariadic === undefined
    ? libc.func('int fcntl(int fd, int command, int argument)')
    : (fd, command, argument) => fcntlVariadic(fd, command, 'int', argument);
/** Linux only: moves bytes between a pipe and another descriptor. Offsets are for files and `null` here. */
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const splice:
  | KoffiFunc<(from: number, fromAt: null, to: number, toAt: null, bytes: number, flags: number) => number | bigint>
  | undefined = darwin
  ? undefined
  : libc.func('long splice(int from, void *fromAt, int to, void *toAt, size_t bytes, uint flags)');
export const dup2: KoffiFunc<(from: number, to: number) => number> = libc.func('int dup2(int from, int to)');
export const close: KoffiFunc<(fd: number) => number> = libc.func('int close(int fd)');
export const write: KoffiFunc<(fd: number, bytes: Buffer, length: number) => number | bigint> = libc.func(
  'long write(int fd, const void *bytes, size_t length)',
);

/** Returns only when it has failed. `argv` and `envp` are blocks of addresses with a null at their end. */
export const execve: KoffiFunc<(path: CString, argv: Buffer, envp: Buffer) => number> = libc.func(
  'int execve(const char *path, const void *argv, const void *envp)',
);

/** Ends the process at once: nothing that was registered for its end runs. */
export const _exit: KoffiFunc<(code: number) => void> = libc.func('void _exit(int code)');

export const _SC_CLK_TCK = darwin ? 3 : 2;
export const sysconf: KoffiFunc<(name: number) => number> = libc.func('long sysconf(int name)');

// ---- fcntl.h, unistd.h, sys/stat.h, stdio.h: calls relative to an open folder. Names are NUL-terminated bytes.

/** A folder opened for searching only, which needs no permission to read it (macOS: O_SEARCH). */
export const O_SEARCH = darwin ? 0x40100000 : O_PATH;
export const AT_REMOVEDIR = darwin ? 0x80 : 0x200;

/**
 * On macOS the arguments behind the dots travel another way, so there it is declared with them; such a function has no
 * `async` form in koffi. Everywhere else both ways are one.
 */
export const openat: KoffiFunc<(folder: number, name: Buffer, flags: number, mode: number) => number> | undefined =
  darwin ? undefined : libc.func('int openat(int folder, const void *name, int flags, uint mode)');
export const openatVariadic:
  | KoffiFunc<(folder: number, name: Buffer, flags: number, type: 'uint', mode: number) => number>
  | undefined = darwin ? libc.func('int openat(int folder, const void *name, int flags, ...)') : undefined;
export const mkdirat: KoffiFunc<(folder: number, name: Buffer, mode: number) => number> = libc.func(
  `int mkdirat(int folder, const void *name, ${darwin ? 'uint16' : 'uint'} mode)`,
);
export const unlinkat: KoffiFunc<(folder: number, name: Buffer, flags: number) => number> = libc.func(
  'int unlinkat(int folder, const void *name, int flags)',
);
export const renameat: KoffiFunc<(folder: number, name: Buffer, toFolder: number, toName: Buffer) => number> =
  libc.func('int renameat(int folder, const void *name, int toFolder, const void *toName)');

// ---- spawn.h: every function returns the errno itself, 0 for success

/** Upper bound of sizeof(posix_spawn_file_actions_t), sizeof(posix_spawnattr_t) and sizeof(sigset_t). */
export const FILE_ACTIONS_BYTES = 128;
export const SPAWN_ATTRIBUTES_BYTES = 512;
export const SIGSET_BYTES = 128;

export const POSIX_SPAWN_SETSIGDEF = 0x04;
export const POSIX_SPAWN_SETSIGMASK = 0x08;
export const POSIX_SPAWN_SETSID = darwin ? 0x400 : 0x80;
/** macOS only: descriptors without a file action are closed in the child. */
export const POSIX_SPAWN_CLOEXEC_DEFAULT = darwin ? 0x4000 : 0;

export const posix_spawn: KoffiFunc<
  (
    pid: Int32Array,
    path: CString,
    actions: Buffer,
    attributes: Buffer,
    /** Addresses of C strings, and a null behind them; the same for the environment. */
    argv: Buffer,
    envp: Buffer,
  ) => number
> = libc.func(
  'int posix_spawn(int *pid, const char *path, const void *actions, const void *attributes, const void *argv, const void *envp)',
);
export const posix_spawn_file_actions_init: KoffiFunc<(actions: Buffer) => number> = libc.func(
  'int posix_spawn_file_actions_init(void *actions)',
);
export const posix_spawn_file_actions_destroy: KoffiFunc<(actions: Buffer) => number> = libc.func(
  'int posix_spawn_file_actions_destroy(void *actions)',
);
export const posix_spawn_file_actions_adddup2: KoffiFunc<(actions: Buffer, from: number, to: number) => number> =
  libc.func('int posix_spawn_file_actions_adddup2(void *actions, int from, int to)');
/** glibc 2.29, musl 1.1.24 and macOS 10.15 brought it; `undefined` on older ones. */
export const posix_spawn_file_actions_addchdir_np: KoffiFunc<(actions: Buffer, path: CString) => number> | undefined =
  whereKnown('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)');
export const posix_spawnattr_init: KoffiFunc<(attributes: Buffer) => number> = libc.func(
  'int posix_spawnattr_init(void *attributes)',
);
export const posix_spawnattr_setflags: KoffiFunc<(attributes: Buffer, flags: number) => number> = libc.func(
  'int posix_spawnattr_setflags(void *attributes, short flags)',
);
export const posix_spawnattr_setsigdefault: KoffiFunc<(attributes: Buffer, signals: Buffer) => number> = libc.func(
  'int posix_spawnattr_setsigdefault(void *attributes, const void *signals)',
);
export const posix_spawnattr_setsigmask: KoffiFunc<(attributes: Buffer, signals: Buffer) => number> = libc.func(
  'int posix_spawnattr_setsigmask(void *attributes, const void *signals)',
);

// ---- signal.h

/**
 * HUP INT QUIT PIPE ALRM TERM CHLD TSTP TTIN TTOU XCPU XFSZ USR1 USR2. Node ignores SIGPIPE, nohup and shells ignore
 * others. A full set would also name 32 and 33, which belong to the C library.
 */
export const SIGNALS_SOMEBODY_MAY_IGNORE = darwin
  ? [1, 2, 3, 13, 14, 15, 20, 18, 21, 22, 24, 25, 30, 31]
  : [1, 2, 3, 13, 14, 15, 17, 20, 21, 22, 24, 25, 10, 12];

export const sigemptyset: KoffiFunc<(signals: Buffer) => number> = libc.func('int sigemptyset(void *signals)');
export const sigaddset: KoffiFunc<(signals: Buffer, signal: number) => number> = libc.func(
  'int sigaddset(void *signals, int signal)',
);

// ---- time.h (Linux)

/** Since boot, suspended time included; what the kernel stamps a new process with. */
export const CLOCK_BOOTTIME = 7;
/** @param time seconds and nanoseconds */
export const clock_gettime: KoffiFunc<(clock: number, time: BigInt64Array) => number> | undefined = darwin
  ? undefined
  : libc.func('int clock_gettime(int clock, void *time)');

// ---- sys/wait.h

export const P_PID = 1;
export const WNOHANG = 1;
export const WEXITED = 4;
export const WNOWAIT = darwin ? 0x20 : 0x01000000;
export const SIGINFO_BYTES = 128;
/** Offset of `si_pid` in siginfo_t: 0 there after a WNOHANG call means "still running". */
export const SIGINFO_PID_OFFSET = darwin ? 12 : 16;

export const waitid: KoffiFunc<(kind: number, id: number, info: Buffer, options: number) => number> = libc.func(
  'int waitid(int kind, uint id, void *info, int options)',
);
export const waitpid: KoffiFunc<(pid: number, status: Out<number>, options: number) => number> = libc.func(
  'int waitpid(int pid, _Out_ int *status, int options)',
);

// ---- sys/mman.h, malloc.h (Linux)

export const MADV_DONTNEED = 4;
export const madvise: KoffiFunc<(address: bigint, bytes: bigint, advice: number) => number> | undefined = darwin
  ? undefined
  : libc.func('int madvise(uintptr_t address, size_t bytes, int advice)');
/** Gives the pages of a shared file back; they read as zeros afterwards. */
export const MADV_REMOVE = 9;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
/** Fails with all bits of the address set. */
export const mmap:
  | KoffiFunc<(address: null, bytes: number, protection: number, flags: number, fd: number, offset: number) => bigint>
  | undefined = darwin
  ? undefined
  : libc.func('void *mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset)');
export const munmap: KoffiFunc<(address: bigint, bytes: number) => number> | undefined = darwin
  ? undefined
  : libc.func('int munmap(uintptr_t address, size_t bytes)');
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
/** glibc 2.27 and musl 1.1.20 brought it. */
export const memfd_create = darwin
  ? undefined
  : whereKnown<(name: string, flags: number) => number>('int memfd_create(const char *name, uint flags)');
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const F_SEAL_SHRINK = 2;
/** Memory at an address as a buffer of ours. Nobody may touch it once the memory is unmapped. */
export const viewOf = (address: bigint, bytes: number): ArrayBuffer => koffi.view(address, bytes);
/** glibc only. */
export const malloc_trim = darwin
  ? undefined
  : whereKnown<(keptBytes: number) => number>('int malloc_trim(size_t kept)');

/** Fills `buffer` with random bytes of the system; 256 at most. */
export const getentropy: KoffiFunc<(buffer: Buffer, bytes: number) => number> = libc.func(
  'int getentropy(void *buffer, size_t bytes)',
);

// ---- sys/file.h

export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
export const flock: KoffiFunc<(fd: number, operation: number) => number> = libc.func(
  'int flock(int fd, int operation)',
);

// ---- sys/prctl.h (Linux)

/** The calling process is sent this signal when its parent ends; no child inherits that. */
export const PR_SET_PDEATHSIG = 1;
export const prctl: KoffiFunc<(option: number, a: number, b: number, c: number, d: number) => number> | undefined =
  darwin ? undefined : libc.func('int prctl(int option, ulong a, ulong b, ulong c, ulong d)');

// ---- sys/resource.h: struct rlimit is two 64-bit numbers, soft and hard

export const RLIMIT_NOFILE = darwin ? 8 : 7;
export const getrlimit: KoffiFunc<(resource: number, limit: BigUint64Array) => number> = libc.func(
  'int getrlimit(int resource, _Out_ uint64 *limit)',
);
export const setrlimit: KoffiFunc<(resource: number, limit: BigUint64Array) => number> = libc.func(
  'int setrlimit(int resource, const uint64 *limit)',
);

// ---- poll.h: struct pollfd is a 32-bit descriptor and two 16-bit sets of events, asked for and found

export const POLLIN = 1;
export const POLLOUT = 4;
/** Found where the number is no open descriptor. */
export const POLLNVAL = 32;
export const poll: KoffiFunc<(entries: Int32Array, count: number, timeoutMs: number) => number> = libc.func(
  `int poll(_Inout_ int *entries, ${darwin ? 'uint' : 'ulong'} count, int timeoutMs)`,
);

// ---- sys/socket.h

export const SHUT_WR = 1;
export const shutdown: KoffiFunc<(fd: number, how: number) => number> = libc.func('int shutdown(int fd, int how)');

export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;

/** Linux: SO_PEERCRED fills struct ucred { pid, uid, gid }. */
export const getsockopt: KoffiFunc<
  (fd: number, level: number, option: number, value: [number, number, number], length: Out<number>) => number
> = libc.func('int getsockopt(int fd, int level, int option, _Out_ int *value, _Inout_ int *length)');
/** macOS. */
export const getpeereid: KoffiFunc<(fd: number, uid: Out<number>, gid: Out<number>) => number> | undefined = darwin
  ? libc.func('int getpeereid(int fd, _Out_ int *uid, _Out_ int *gid)')
  : undefined;

export const AF_UNIX = 1;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
/** Linux only. */
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = darwin ? 0x80 : 0x40;
export const socket: KoffiFunc<(domain: number, type: number, protocol: number) => number> = libc.func(
  'int socket(int domain, int type, int protocol)',
);
export const send: KoffiFunc<(fd: number, bytes: Buffer, length: number, flags: number) => number | bigint> = libc.func(
  'long send(int fd, const void *bytes, size_t length, int flags)',
);
export const recv: KoffiFunc<(fd: number, bytes: Buffer, length: number, flags: number) => number | bigint> = libc.func(
  'long recv(int fd, _Out_ void *bytes, size_t length, int flags)',
);

// ---- linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h (Linux)

export const NETLINK_SOCK_DIAG = 4;
export const NLM_F_REQUEST = 1;
export const SOCK_DIAG_BY_FAMILY = 20;
export const UDIAG_SHOW_PEER = 0x04;
export const UDIAG_SHOW_RQLEN = 0x10;
export const UNIX_DIAG_PEER = 2;
export const UNIX_DIAG_RQLEN = 4;

// ---- sys/syscall.h (Linux; the same numbers on x64 and arm64)

export const SYS_pidfd_send_signal = 424;
export const SYS_pidfd_open = 434;
/** Flag of pidfd_send_signal, Linux 6.9 and later: the whole group of the process. */
export const PIDFD_SIGNAL_PROCESS_GROUP = 4;
export const syscall: KoffiFunc<(number: number, a: number, b: number, c: number, d: number) => number> | undefined =
  darwin ? undefined : libc.func('long syscall(long number, long a, long b, long c, long d)');

// ---- libproc.h (macOS)

export const PROC_PIDTBSDINFO = 3;
/** `arg` of proc_pidinfo for that flavor: a zombie is found too. */
export const PROC_FIND_ZOMBIES = 1;
export const PROC_BSDINFO_BYTES = 136;
/** Offsets in struct proc_bsdinfo. */
export const BSDINFO_STATUS_OFFSET = 4;
export const BSDINFO_REAL_USER_OFFSET = 28;
export const BSDINFO_GROUP_OFFSET = 100;
export const BSDINFO_START_SECONDS_OFFSET = 120;
export const BSDINFO_START_MICROSECONDS_OFFSET = 128;
export const proc_pidinfo:
  | KoffiFunc<(pid: number, flavor: number, argument: number, buffer: Buffer, bytes: number) => number>
  | undefined = darwin
  ? libc.func('int proc_pidinfo(int pid, int flavor, uint64 argument, _Out_ void *buffer, int bytes)')
  : undefined;
/** macOS. Fills pids and returns how many there are. */
export const proc_listallpids: KoffiFunc<(pids: Int32Array, bytes: number) => number> | undefined = darwin
  ? libc.func('int proc_listallpids(_Out_ int *pids, int bytes)')
  : undefined;

// ---- sys/sysctl.h (macOS)

export const CTL_KERN = 1;
export const KERN_PROCARGS2 = 49;
export const sysctl:
  | KoffiFunc<
      (
        name: Int32Array,
        words: number,
        old: Buffer,
        oldBytes: BigUint64Array,
        fresh: null,
        freshBytes: number,
      ) => number
    >
  | undefined = darwin
  ? libc.func(
      'int sysctl(const int *name, uint words, _Out_ void *old, _Inout_ uint64 *oldBytes, void *fresh, size_t freshBytes)',
    )
  : undefined;
export const sysctlbyname:
  | KoffiFunc<(name: string, old: Buffer, oldBytes: BigUint64Array, fresh: null, freshBytes: number) => number>
  | undefined = darwin
  ? libc.func(
      'int sysctlbyname(const char *name, _Out_ void *old, _Inout_ uint64 *oldBytes, void *fresh, size_t freshBytes)',
    )
  : undefined;
