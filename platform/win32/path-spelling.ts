/** How Windows reads the text of a path. Pure: nothing here asks the system, so it runs and is tested on every one. */
import { win32 } from 'node:path';

/** A drive with a root, or a share. `win32.isAbsolute` takes `\\dir` too, which counts from the drive of the moment. */
export function isAbsolute(path: string): boolean {
  return rootOf(path).length > 1 && win32.isAbsolute(path);
}

/** @param cleaned see `clean` */
export function isRoot(cleaned: string): boolean {
  return cleaned === rootOf(cleaned) && win32.isAbsolute(cleaned) && cleaned.length > 1;
}

/** Whether the cleaned `path` is `folder` or below it; case does not count. */
export function isWithin(path: string, folder: string): boolean {
  const [inner, outer] = [path.toLowerCase(), folder.toLowerCase()];
  return inner === outer || inner.startsWith(outer.endsWith('\\') ? outer : `${outer}\\`);
}

/** `win32.normalize` keeps a trailing separator; the contract's clean does not, except for a root. */
export function clean(path: string): string {
  const normal = win32.normalize(path);
  const { root } = win32.parse(normal);
  return normal.length > root.length && normal.endsWith('\\') ? normal.slice(0, -1) : normal;
}

export function directoryOf(path: string): string {
  return clean(win32.dirname(path));
}

const devicePrefix = /^(?:[\\/]{2}[?.]|[\\/]\?\?)(?:[\\/]|$)/;

/**
 * Whether Windows reads the path as the one it looks like: no device prefix (`\\?\`, `\\.\`, `\??\`), no stream
 * (`name:stream`), no component that ends in a dot or a space, which Windows drops.
 */
export function hasPlainSpelling(path: string): boolean {
  const names = path.replace(/^[a-z]:/i, '').split(/[\\/]/);
  return (
    !devicePrefix.test(path) &&
    names.every((name) => name === '.' || name === '..' || (!name.includes(':') && !/[. ]$/.test(name)))
  );
}

function rootOf(path: string): string {
  return win32.parse(path).root;
}

const deviceName = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[. ]*$/i;

/** Whether the name of an entry stands for a device, also with the dots and spaces that Windows drops. `NUL.txt` is a file. */
export function isDeviceName(name: string): boolean {
  return deviceName.test(name);
}

/** Whether the last name of the path is that of a device, as in `NUL`, `nul:` and `C:\x\NUL`. */
export function endsInDeviceName(path: string): boolean {
  return isDeviceName(path.slice(path.search(/[^\\/]*$/)).replace(/:$/, ''));
}

/** Longest path in UTF-16 units, with its end. */
const longestPath = 32_768;

/**
 * Whether Windows may be asked for the full path. Not of a path that skips its reading already, that has nothing in it, or
 * that a NUL byte would cut short.
 */
export function mayBeRead(path: string): boolean {
  return path !== '' && !path.includes('\0') && path.length < longestPath && !devicePrefix.test(path);
}

/**
 * Whether the path names a device, a volume or a pipe by itself (`\\.\NUL`, `\\.\C:`, `\\?\PhysicalDrive0`) and nothing in a
 * folder. `\\?\C:\x` and `\\?\UNC\server\share` are files.
 */
export function isDevicePath(path: string): boolean {
  const [, rest] = /^[\\/]{2}[.?][\\/](.+)$/s.exec(path) ?? [];
  return rest !== undefined && (!/[\\/]/.test(rest) || /^pipe[\\/]/i.test(rest));
}
