/**
 * `posix_spawn` and what belongs to it. Not `child_process`: that forks, which stops the event loop for the copy of the
 * page tables, and gives the child socket pairs instead of pipes (design decision 5).
 */
import * as libc from '../../native-bindings/libc.ts';
import { rawBytes, rawCString } from '../raw-text.ts';
import { environmentEntry, type Variable } from '../started-with.ts';
import { errnoName } from './paths.ts';

export interface LaunchRequest {
  /** Path of the program; never searched for. */
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: readonly Variable[];
  /** See `SpawnRequest`. */
  readonly lastVariable?: Variable | undefined;
  readonly cwd: string | undefined;
  /** Our descriptor for each descriptor of the child, from 0 on; nothing else is inherited. */
  readonly descriptors: readonly number[];
}

/**
 * Starts a program as leader of a new session and process group, with default signal dispositions and an empty mask.
 * @returns the pid
 * @throws an Error whose `code` is the errno's name
 */
export function launch(request: LaunchRequest): number {
  const { cwd } = request;
  if (cwd !== undefined && libc.posix_spawn_file_actions_addchdir_np === undefined) {
    return inDirectory(cwd, () => launch({ ...request, cwd: undefined }));
  }
  const call = prepare(request);
  try {
    return outcome(request, call, libc.posix_spawn(...call));
  } finally {
    libc.posix_spawn_file_actions_destroy(call[actionsAt]);
  }
}

/** Several starts at once share the threads of libuv's pool, which others wait for too. */
const mostAside = 16;
/**
 * A start takes a millisecond or two. One that takes longer than this means that the pool hangs, for example in calls on a
 * dead network file system.
 */
const hangingMs = 50;
/** Starts with less time than this between them count as many. */
const amongMs = 5;
/** The kernel copies the words and variables of the new program, and the starter waits for it: for more, tens of milliseconds. */
const fewWords = 2000;

/** Whether the words and variables are so many that a start is done in parts and beside other work. */
export function isLongStart(words: number): boolean {
  return words > fewWords;
}

/** The starts that run on other threads, oldest first, with the time each was begun. */
const aside = new Set<{ readonly since: number }>();
/** When the last start was done, or given to another thread. */
let lastAt = Number.NEGATIVE_INFINITY;

/**
 * The same, but one of many, or with many words, does not hold up this thread until the new program runs; the kernel makes the
 * thread that starts it wait so long. Any other start is done at once: handing it over would take longer.
 */
export function launchAmongMany(request: LaunchRequest): number | Promise<number> {
  const now = performance.now();
  const goesAside = now - lastAt < amongMs || isLongStart(request.argv.length + request.env.length);
  const [oldest] = aside;
  const hangs = oldest !== undefined && now - oldest.since > hangingMs;
  const possible = request.cwd === undefined || libc.posix_spawn_file_actions_addchdir_np !== undefined;
  if (!goesAside || !possible || hangs || aside.size >= mostAside) {
    try {
      return launch(request);
    } finally {
      // Take the time here: requests that arrived during the call have waited too.
      lastAt = performance.now();
    }
  }
  lastAt = now;
  const call = prepare(request);
  const start = { since: now };
  aside.add(start);
  return new Promise((resolve, reject) => {
    libc.posix_spawn.async(...call, (error, failure) => {
      aside.delete(start);
      libc.posix_spawn_file_actions_destroy(call[actionsAt]);
      try {
        if (error !== null) {
          throw error;
        }
        resolve(outcome(request, call, failure));
      } catch (problem) {
        reject(problem);
      }
    });
  });
}

type SpawnCall = Parameters<typeof libc.posix_spawn>;
const pidAt = 0;
const actionsAt = 2;
const addressBytes = 8;

function prepare({ file, argv, env, lastVariable, cwd, descriptors }: LaunchRequest): SpawnCall {
  const actions = Buffer.alloc(libc.FILE_ACTIONS_BYTES);
  libc.posix_spawn_file_actions_init(actions);
  // Change the directory first, because a relative program path counts from there (spec process.md §3.3).
  if (cwd !== undefined) {
    libc.posix_spawn_file_actions_addchdir_np?.(actions, rawCString(cwd));
  }
  descriptors.forEach((ours, theirs) => {
    libc.posix_spawn_file_actions_adddup2(actions, ours, theirs);
  });
  return [
    new Int32Array(1),
    rawCString(file),
    actions,
    sharedAttributes(),
    addressBlock(argv),
    environmentBlock(env, lastVariable),
  ];
}

/** Most children of a daemon get the same environment, so its block is kept for as long as the list is. */
const blocks = new WeakMap<readonly Variable[], Buffer>();

/** @param env must be held for as long as the block is used */
function environmentBlock(env: readonly Variable[], lastVariable: Variable | undefined): Buffer {
  const block = sharedBlock(env);
  if (lastVariable === undefined) {
    return block;
  }
  // The addresses of the shared texts, one more, the null, and the text that is not shared.
  const shared = env.length * addressBytes;
  const text = rawBytes(`${environmentEntry(lastVariable)}\0`);
  const textAt = shared + 2 * addressBytes;
  const more = Buffer.allocUnsafe(textAt + text.length);
  block.copy(more, 0, 0, shared);
  writeAddress(more, shared, Number(libc.addressOf(more)) + textAt);
  writeAddress(more, shared + addressBytes, 0);
  text.copy(more, textAt);
  return more;
}

/** User space has 48 bits, which a number holds exactly. */
function writeAddress(block: Buffer, at: number, address: number): void {
  block.writeUInt32LE(address % 2 ** 32, at);
  block.writeUInt32LE(Math.floor(address / 2 ** 32), at + 4);
}

function sharedBlock(env: readonly Variable[]): Buffer {
  const known = blocks.get(env);
  if (known !== undefined) {
    return known;
  }
  const block = addressBlock(env.map(environmentEntry));
  blocks.set(env, block);
  return block;
}

/**
 * What `execve` takes: an address of each text, in their order, and a null. The texts lie behind that, in the same piece of
 * memory, because a request may have a quarter of a million of them.
 */
export function addressBlock(words: readonly string[]): Buffer {
  const texts = rawBytes(words.length === 0 ? '' : `${words.join('\0')}\0`);
  const textsAt = (words.length + 1) * addressBytes;
  const block = Buffer.alloc(textsAt + texts.length);
  texts.copy(block, textsAt);
  let address = Number(libc.addressOf(block)) + textsAt;
  let begin = 0;
  for (let index = 0; index < words.length; index++) {
    writeAddress(block, index * addressBytes, address);
    const end = endOfText(texts, begin);
    address += end - begin;
    begin = end;
  }
  return block;
}

/** The place behind the NUL of the text that begins at `at`. */
function endOfText(texts: Buffer, at: number): number {
  // Most texts are short, and a call that looks for a byte costs more than looking at some of them.
  const near = Math.min(texts.length, at + 32);
  for (let place = at; place < near; place++) {
    if (texts[place] === 0) {
      return place + 1;
    }
  }
  return texts.indexOf(0, at) + 1;
}

/** @param failure an errno, 0 for success */
function outcome({ file }: LaunchRequest, call: SpawnCall, failure: number): number {
  if (failure === 0) {
    return call[pidAt][0] ?? 0;
  }
  const code = errnoName(failure);
  throw Object.assign(new Error(`posix_spawn ${file}: ${code}`), { code });
}

/** What this system's `posix_spawn` lacks and what we do instead, for the log; `undefined`: nothing. */
export function spawnShortcoming(): string | undefined {
  if (libc.posix_spawn_file_actions_addchdir_np !== undefined) {
    return undefined;
  }
  return 'this C library has no posix_spawn_file_actions_addchdir_np; the daemon enters the directory of a child for the moment of its start';
}

/** No other code of ours sees the changed directory: `work` does not return to the event loop. */
function inDirectory<T>(path: string, work: () => T): T {
  const own = process.cwd();
  process.chdir(path);
  try {
    return work();
  } finally {
    process.chdir(own);
  }
}

let attributes: Buffer | undefined;

/** Immutable once made, so one set serves every spawn. */
function sharedAttributes(): Buffer {
  if (attributes !== undefined) {
    return attributes;
  }
  attributes = Buffer.alloc(libc.SPAWN_ATTRIBUTES_BYTES);
  libc.posix_spawnattr_init(attributes);
  libc.posix_spawnattr_setflags(
    attributes,
    libc.POSIX_SPAWN_SETSID |
      libc.POSIX_SPAWN_SETSIGDEF |
      libc.POSIX_SPAWN_SETSIGMASK |
      libc.POSIX_SPAWN_CLOEXEC_DEFAULT,
  );
  const defaults = Buffer.alloc(libc.SIGSET_BYTES);
  libc.sigemptyset(defaults);
  for (const signal of libc.SIGNALS_SOMEBODY_MAY_IGNORE) {
    libc.sigaddset(defaults, signal);
  }
  libc.posix_spawnattr_setsigdefault(attributes, defaults);
  const none = Buffer.alloc(libc.SIGSET_BYTES);
  libc.sigemptyset(none);
  libc.posix_spawnattr_setsigmask(attributes, none);
  return attributes;
}
