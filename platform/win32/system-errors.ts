/** Windows' error numbers: their sentences as the contract prints them, and the errno names we decide by (spec files.md §2). */
import * as kernel32 from '../../native-bindings/kernel32.ts';

/** A failed Windows call. `message` is `<call>: <sentence>`; `code` is the errno name Node uses for the same number. */
export class WindowsError extends Error {
  override readonly name = 'WindowsError';
  readonly number: number;
  readonly code: string;

  constructor(call: string, number: number) {
    super(`${call}: ${sentenceOf(number)}`);
    this.number = number;
    this.code = errnoNames[number] ?? `ERROR_${number}`;
  }
}

/** The error of the call that has just failed. */
export function lastError(call: string): WindowsError {
  return new WindowsError(call, kernel32.GetLastError());
}

/**
 * The contract's sentences are the English ones of Windows itself, whatever language the host speaks; they are spelled
 * out here because the system's own table depends on its language packs.
 */
const sentences: Record<number, string> = {
  1: 'Incorrect function.',
  2: 'The system cannot find the file specified.',
  3: 'The system cannot find the path specified.',
  4: 'The system cannot open the file.',
  5: 'Access is denied.',
  6: 'The handle is invalid.',
  8: 'Not enough memory resources are available to process this command.',
  14: 'Not enough memory resources are available to complete this operation.',
  17: 'The system cannot move the file to a different disk drive.',
  19: 'The media is write protected.',
  21: 'The device is not ready.',
  32: 'The process cannot access the file because it is being used by another process.',
  33: 'The process cannot access the file because another process has locked a portion of the file.',
  50: 'The request is not supported.',
  53: 'The network path was not found.',
  67: 'The network name cannot be found.',
  80: 'The file exists.',
  87: 'The parameter is incorrect.',
  109: 'The pipe has been ended.',
  112: 'There is not enough space on the disk.',
  121: 'The semaphore timeout period has expired.',
  123: 'The filename, directory name, or volume label syntax is incorrect.',
  145: 'The directory is not empty.',
  161: 'The specified path is invalid.',
  183: 'Cannot create a file when that file already exists.',
  193: '%1 is not a valid Win32 application.',
  206: 'The filename or extension is too long.',
  216: "This version of %1 is not compatible with the version of Windows you're running. Check your computer's system information and then contact the software publisher.",
  231: 'All pipe instances are busy.',
  232: 'The pipe is being closed.',
  233: 'No process is on the other end of the pipe.',
  267: 'The directory name is invalid.',
  740: 'The requested operation requires elevation.',
  1223: 'The operation was canceled by the user.',
  1920: 'The file cannot be accessed by the system.',
  1921: 'The name of the file cannot be resolved by the system.',
};

/** The system's sentence for an error number, with its full stop. */
export function sentenceOf(number: number): string {
  return sentences[number] ?? systemSentence(number);
}

const english = 0x409;

function systemSentence(number: number): string {
  const flags = kernel32.FORMAT_MESSAGE_FROM_SYSTEM | kernel32.FORMAT_MESSAGE_IGNORE_INSERTS;
  const text = Buffer.alloc(2048);
  // English where it is installed, else the language of the host.
  for (const language of [english, 0]) {
    const units = kernel32.FormatMessageW(flags, null, number, language, text, text.length / 2, null);
    if (units > 0) {
      return text.toString('utf16le', 0, units * 2).trimEnd();
    }
  }
  return `winapi error #${number}`;
}

/**
 * As libuv names the same numbers, so that a decision by code does not depend on who made the call; but a name that is
 * wrong (123) is not one that is missing (spec files.md §2).
 */
const errnoNames: Record<number, string> = {
  2: 'ENOENT',
  3: 'ENOENT',
  4: 'EMFILE',
  5: 'EACCES',
  6: 'EBADF',
  8: 'ENOMEM',
  14: 'ENOMEM',
  17: 'EXDEV',
  19: 'EROFS',
  32: 'EBUSY',
  33: 'EBUSY',
  50: 'ENOTSUP',
  80: 'EEXIST',
  87: 'EINVAL',
  109: 'EPIPE',
  112: 'ENOSPC',
  121: 'ETIMEDOUT',
  123: 'EINVAL',
  145: 'ENOTEMPTY',
  161: 'ENOENT',
  183: 'EEXIST',
  193: 'ENOEXEC',
  206: 'ENAMETOOLONG',
  216: 'ENOEXEC',
  231: 'EBUSY',
  232: 'EPIPE',
  233: 'EPIPE',
  267: 'ENOTDIR',
  1921: 'ELOOP',
};

/**
 * The other way round, for errors of Node, which keeps the errno name only. The contract's daemon invents a few errno
 * values on Windows too; those keep the C library's words.
 */
const reasons: Record<string, string> = {
  EACCES: sentenceOf(5),
  EBADF: sentenceOf(6),
  EBUSY: sentenceOf(32),
  EEXIST: sentenceOf(183),
  EINVAL: 'invalid argument',
  EISDIR: 'is a directory',
  ELOOP: sentenceOf(1921),
  EMFILE: sentenceOf(4),
  ENAMETOOLONG: sentenceOf(206),
  ENOENT: sentenceOf(2),
  ENOEXEC: sentenceOf(193),
  ENOMEM: sentenceOf(8),
  ENOSPC: sentenceOf(112),
  ENOTDIR: sentenceOf(267),
  ENOTEMPTY: sentenceOf(145),
  ENOTSUP: sentenceOf(50),
  EPERM: sentenceOf(5),
  EPIPE: sentenceOf(232),
  EROFS: sentenceOf(19),
  ETIMEDOUT: sentenceOf(121),
  EXDEV: sentenceOf(17),
};

/** The contract's words for an errno name. */
export function reasonForErrno(code: string): string {
  return reasons[code] ?? code;
}
