/** kernel32.dll, memoryapi.h: sections and their views; the rest of that library is kernel32.ts. */
import koffi, { type KoffiFunc } from 'koffi';
import type { Address, Bool, Handle } from './kernel32.ts';

const kernel32 = koffi.load('kernel32.dll');

export const PAGE_READWRITE = 0x4;
/** With INVALID_HANDLE_VALUE for the file the section is backed by the system's paging file. */
export const CreateFileMappingW: KoffiFunc<
  (file: Handle, security: Buffer, protection: number, sizeHigh: number, sizeLow: number, name: null) => Handle | null
> = kernel32.func(
  'void * __stdcall CreateFileMappingW(void *file, void *security, uint32 protection, uint32 sizeHigh, uint32 sizeLow, str16 name)',
);

export const FILE_MAP_WRITE = 0x2;
export const FILE_MAP_READ = 0x4;
/** The view outlives the handle of its section. NULL on failure, also for more bytes than the section has. */
export const MapViewOfFile: KoffiFunc<
  (section: Handle, access: number, offsetHigh: number, offsetLow: number, bytes: number) => Address | null
> = kernel32.func(
  'void * __stdcall MapViewOfFile(void *section, uint32 access, uint32 offsetHigh, uint32 offsetLow, size_t bytes)',
);
export const UnmapViewOfFile: KoffiFunc<(view: Address) => Bool> = kernel32.func(
  'int __stdcall UnmapViewOfFile(void *view)',
);

/** What the pages hold is not needed any more, so it is not written to the paging file. */
export const MEM_RESET = 0x8_0000;
/** NULL on failure. */
export const VirtualAlloc: KoffiFunc<
  (address: Address, bytes: number, kind: number, protection: number) => Address | null
> = kernel32.func('void * __stdcall VirtualAlloc(void *address, size_t bytes, uint32 kind, uint32 protection)');

/** Memory at an address as a buffer of ours. Nobody may touch it once the memory is unmapped. */
export const viewOf = (address: Address, bytes: number): ArrayBuffer => koffi.view(address, bytes);
