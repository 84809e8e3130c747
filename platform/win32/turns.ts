/** What a failed open or lock in a run directory means. Pure: it is tested on every system. */

/** ERROR_SHARING_VIOLATION and ERROR_DELETE_PENDING: somebody has the marker open, or it is about to go. */
const othersHaveIt: readonly number[] = [32, 303];
const errorAccessDenied = 5;

/**
 * Whether waiting can help. Windows says "access denied" of a marker that is being deleted, and then does not let anybody
 * look at it; it says the same of one that may never be opened (a folder of that name, a read-only file, an access list),
 * which can be looked at, and waiting for that would only delay every start by the whole patience.
 * @param failure the error number of CreateFile
 */
export function isOthersTurn(failure: number, canBeLookedAt: () => boolean): boolean {
  return othersHaveIt.includes(failure) || (failure === errorAccessDenied && !canBeLookedAt());
}

/** ERROR_LOCK_VIOLATION, and ERROR_IO_PENDING of a file that was opened for overlapped calls. */
const lockIsHeld: readonly number[] = [33, 997];

/**
 * Whether somebody holds the lock. Any other failure is that of a file system without locks, where waiting does not help.
 * @param failure the error number of LockFileEx
 */
export function isHeldLock(failure: number): boolean {
  return lockIsHeld.includes(failure);
}
