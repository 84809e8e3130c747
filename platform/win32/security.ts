/** Who we are, and descriptors that let nobody else in (spec platform.md §3 "Named pipe"). */
import * as advapi32 from '../../native-bindings/advapi32.ts';
import type { Address, Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import { handleAt } from './handles.ts';
import { lastError, WindowsError } from './system-errors.ts';

let ownSid: string | undefined;

/** Security identifier of the user we run as, e.g. `S-1-5-21-...-1001`. @throws WindowsError */
export function currentUser(): string {
  ownSid ??= userOf(kernel32.GetCurrentProcess());
  return ownSid;
}

/** User a process runs as. @throws WindowsError, e.g. when we may not ask */
export function userOf(process: Handle): string {
  const token: Out<Handle | null> = [null];
  if (!advapi32.OpenProcessToken(process, advapi32.TOKEN_QUERY, token) || token[0] === null) {
    throw lastError('OpenProcessToken');
  }
  try {
    const information = Buffer.alloc(256);
    if (!advapi32.GetTokenInformation(token[0], advapi32.TokenUser, information, information.length, [0])) {
      throw lastError('GetTokenInformation');
    }
    return sidText(handleAt(information, 0));
  } finally {
    kernel32.CloseHandle(token[0]);
  }
}

function sidText(sid: Address): string {
  const text: Out<Address | null> = [null];
  if (!advapi32.ConvertSidToStringSidW(sid, text)) {
    throw lastError('ConvertSidToStringSid');
  }
  return takeText(text[0]);
}

/** Copies a string Windows has allocated for us, and frees it. */
function takeText(address: Address | null): string {
  if (address === null) {
    return '';
  }
  try {
    return kernel32.textAt(address);
  } finally {
    kernel32.LocalFree(address);
  }
}

/** `inherited`: folders pass the rule on to what is made in them. */
type DescriptorKind = 'object' | 'folder';

const securityAttributes = new Map<DescriptorKind, Buffer>();

/**
 * SECURITY_ATTRIBUTES with full access for us and nobody else, protected from the rules of the folder above. We are
 * named as owner too: an elevated process would otherwise make its group the owner. Not inheritable.
 * @throws WindowsError
 */
export function ownerOnly(kind: DescriptorKind = 'object'): Buffer {
  let attributes = securityAttributes.get(kind);
  if (attributes === undefined) {
    const user = currentUser();
    attributes = Buffer.alloc(kernel32.SECURITY_ATTRIBUTES_BYTES);
    attributes.writeUInt32LE(attributes.length, 0);
    // The descriptor itself is never freed: it serves every later call.
    attributes.writeBigUInt64LE(descriptorFrom(`O:${user}D:P(A;${kind === 'folder' ? 'OICI' : ''};GA;;;${user})`), 8);
    securityAttributes.set(kind, attributes);
  }
  return attributes;
}

function descriptorFrom(sddl: string): Address {
  const descriptor: Out<Address | null> = [null];
  if (
    !advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl, advapi32.SDDL_REVISION_1, descriptor, null) ||
    descriptor[0] === null
  ) {
    throw lastError(`security descriptor ${sddl}`);
  }
  return descriptor[0];
}

export type ObjectKind = 'file' | 'kernel object';

const objectKinds = { file: advapi32.SE_FILE_OBJECT, 'kernel object': advapi32.SE_KERNEL_OBJECT } as const;

/** Owner of an opened object (needs READ_CONTROL). @throws WindowsError */
export function ownerOf(handle: Handle, kind: ObjectKind): string {
  return withSecurity(handle, kind, advapi32.OWNER_SECURITY_INFORMATION, (owner) =>
    owner === null ? '' : sidText(owner),
  );
}

/** Owner and access list of an opened object as SDDL, for the doctor and for tests. @throws WindowsError */
export function describeSecurity(handle: Handle, kind: ObjectKind): string {
  const parts = advapi32.OWNER_SECURITY_INFORMATION | advapi32.DACL_SECURITY_INFORMATION;
  return withSecurity(handle, kind, parts, (_owner, descriptor) => {
    const text: Out<Address | null> = [null];
    if (
      !advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW(
        descriptor,
        advapi32.SDDL_REVISION_1,
        parts,
        text,
        null,
      )
    ) {
      throw lastError('ConvertSecurityDescriptorToStringSecurityDescriptor');
    }
    return takeText(text[0]);
  });
}

function withSecurity<T>(
  handle: Handle,
  kind: ObjectKind,
  parts: number,
  use: (owner: Address | null, descriptor: Address) => T,
): T {
  const owner: Out<Address | null> = [null];
  const descriptor: Out<Address | null> = [null];
  const failure = advapi32.GetSecurityInfo(handle, objectKinds[kind], parts, owner, null, null, null, descriptor);
  if (failure !== 0 || descriptor[0] === null) {
    throw new WindowsError('GetSecurityInfo', failure);
  }
  try {
    return use(owner[0], descriptor[0]);
  } finally {
    kernel32.LocalFree(descriptor[0]);
  }
}
