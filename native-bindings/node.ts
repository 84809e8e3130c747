/** What the running node.exe exports of libuv: the bridge between Windows handles and descriptors. */
import koffi, { type KoffiFunc } from 'koffi';
import type { Handle } from './kernel32.ts';

/** `null` asks the running program itself, whatever it is called. */
const node = koffi.load(null);

/** Gives a handle a descriptor, which owns it from then on; -1 when the table of 8192 is full. */
export const uv_open_osfhandle: KoffiFunc<(handle: Handle) => number> = node.func(
  'int uv_open_osfhandle(void *handle)',
);
/** The handle behind a descriptor, still owned by it; INVALID_HANDLE_VALUE for a descriptor that is not open. */
export const uv_get_osfhandle: KoffiFunc<(fd: number) => Handle> = node.func('void *uv_get_osfhandle(int fd)');
