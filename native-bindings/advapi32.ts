/** advapi32.dll: tokens, security identifiers and descriptors. Declarations and constants, no decisions. */
import koffi, { type KoffiFunc } from 'koffi';
import type { Address, Bool, Handle } from './kernel32.ts';
import type { Out } from './out.ts';

const advapi32 = koffi.load('advapi32.dll');

// ---- processthreadsapi.h, securitybaseapi.h: 0 on failure, then GetLastError

export const TOKEN_QUERY = 8;
export const OpenProcessToken: KoffiFunc<(process: Handle, access: number, token: Out<Handle | null>) => Bool> =
  advapi32.func('int __stdcall OpenProcessToken(void *process, uint32 access, _Out_ void **token)');

/** TOKEN_USER: address of the SID at 0; the SID lies in the same block. */
export const TokenUser = 1;
export const GetTokenInformation: KoffiFunc<
  (token: Handle, kind: number, information: Buffer, bytes: number, returned: Out<number>) => Bool
> = advapi32.func(
  'int __stdcall GetTokenInformation(void *token, int kind, void *information, uint32 bytes, _Out_ uint32 *returned)',
);

// ---- sddl.h: false on failure; the results are freed with LocalFree

export const ConvertSidToStringSidW: KoffiFunc<(sid: Address, text: Out<Address | null>) => Bool> = advapi32.func(
  'int __stdcall ConvertSidToStringSidW(void *sid, _Out_ void **text)',
);
export const SDDL_REVISION_1 = 1;
export const ConvertStringSecurityDescriptorToSecurityDescriptorW: KoffiFunc<
  (text: string, revision: number, descriptor: Out<Address | null>, bytes: null) => Bool
> = advapi32.func(
  'int __stdcall ConvertStringSecurityDescriptorToSecurityDescriptorW(str16 text, uint32 revision, _Out_ void **descriptor, void *bytes)',
);
export const ConvertSecurityDescriptorToStringSecurityDescriptorW: KoffiFunc<
  (descriptor: Address, revision: number, parts: number, text: Out<Address | null>, units: null) => Bool
> = advapi32.func(
  'int __stdcall ConvertSecurityDescriptorToStringSecurityDescriptorW(void *descriptor, uint32 revision, uint32 parts, _Out_ void **text, void *units)',
);

// ---- aclapi.h: the return value is the error itself, 0 for success

export const SE_FILE_OBJECT = 1;
export const SE_KERNEL_OBJECT = 6;
export const OWNER_SECURITY_INFORMATION = 1;
export const DACL_SECURITY_INFORMATION = 4;
/** The descriptor is freed with LocalFree; `owner` points into it. */
export const GetSecurityInfo: KoffiFunc<
  (
    object: Handle,
    kind: number,
    parts: number,
    owner: Out<Address | null>,
    group: null,
    dacl: null,
    sacl: null,
    descriptor: Out<Address | null>,
  ) => number
> = advapi32.func(
  'uint32 __stdcall GetSecurityInfo(void *object, int kind, uint32 parts, _Out_ void **owner, void *group, void *dacl, void *sacl, _Out_ void **descriptor)',
);

// ---- winreg.h: the return value is the error itself, 0 for success

export const HKEY_LOCAL_MACHINE = 0xffff_ffff_8000_0002n;
export const RRF_RT_REG_SZ = 2;
export const RRF_SUBKEY_WOW6464KEY = 0x0001_0000;
/** `bytes`: room in `data`, and how much of it was filled, with the terminating NUL. */
export const RegGetValueW: KoffiFunc<
  (key: Address, subkey: string, value: string, flags: number, type: null, data: Buffer, bytes: Uint32Array) => number
> = advapi32.func(
  'uint32 __stdcall RegGetValueW(void *key, str16 subkey, str16 value, uint32 flags, void *type, void *data, void *bytes)',
);
