/** Which machine this is: the identifier that Windows makes when it is installed (spec mesh.md §3.3). */
import * as advapi32 from '../../native-bindings/advapi32.ts';

const cryptography = 'SOFTWARE\\Microsoft\\Cryptography';

export function hostId(): string {
  const text = Buffer.alloc(256);
  const bytes = new Uint32Array([text.length]);
  const flags = advapi32.RRF_RT_REG_SZ | advapi32.RRF_SUBKEY_WOW6464KEY;
  const failure = advapi32.RegGetValueW(
    advapi32.HKEY_LOCAL_MACHINE,
    cryptography,
    'MachineGuid',
    flags,
    null,
    text,
    bytes,
  );
  const guid = failure === 0 ? text.toString('utf16le', 0, bytes[0]).replace(/\0+$/, '').trim() : '';
  return guid === '' ? '' : `win32:${guid}`;
}
