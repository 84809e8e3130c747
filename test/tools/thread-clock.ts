/**
 * Processor time of the calling thread, to the nanosecond. `process.threadCpuUsage()` will not do: on a kernel that samples
 * it stands still for 4 ms and then jumps, so the least of many readings is 0.
 */
import koffi from 'koffi';

/** time.h, Linux. */
const CLOCK_THREAD_CPUTIME_ID = 3;
const timespec = koffi.struct({ tv_sec: 'int64', tv_nsec: 'int64' });
const clockGettime = koffi.load(null).func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(timespec))]);

/** In milliseconds since the thread began. */
export function threadMs(): number {
  const now: { tv_sec: number; tv_nsec: number } = { tv_sec: 0, tv_nsec: 0 };
  if (clockGettime(CLOCK_THREAD_CPUTIME_ID, now) !== 0) {
    throw new Error(`clock_gettime(CLOCK_THREAD_CPUTIME_ID) failed with errno ${koffi.errno()}`);
  }
  return Number(now.tv_sec) * 1e3 + Number(now.tv_nsec) / 1e6;
}
