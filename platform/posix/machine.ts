/** Which machine this is, and whether it is a container: files of Linux (spec mesh.md §3.3, §3.4). */
import { existsSync, readFileSync } from 'node:fs';

const idFiles = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

export function hostId(): string {
  const id = idFiles.map(textOf).find((text) => text !== '') ?? '';
  return id === '' ? '' : `linux:${id}`;
}

export function isContainer(): boolean {
  return existsSync('/.dockerenv') || /docker|kubepods|containerd/.test(textOf('/proc/1/cgroup'));
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
