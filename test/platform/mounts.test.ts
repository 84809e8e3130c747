/** The mount of a path, by the table of the kernel. */
import { expect, test } from 'vitest';
import { mountOf } from '../../platform/posix/mounts.ts';

const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /home rw,nosuid,nodev shared:20 - nfs4 server:/home rw,vers=4.2
41 40 0:36 / /home/ann/my\\040disk ro,noexec - fuse.sshfs box:/ rw
42 22 0:37 / /tmp rw - tmpfs none rw,size=4k
43 22 0:38 / /tmp ro,noexec - tmpfs other rw`;

test.each([
  ['/etc', { place: '/', kind: 'ext4', isNetwork: false }],
  ['/home/ann/.claude', { place: '/home', kind: 'nfs4', isNetwork: true }],
  ['/homestead', { place: '/', kind: 'ext4' }],
  ['/home/ann/my disk/x', { place: '/home/ann/my disk', kind: 'fuse.sshfs', isNetwork: true }],
  // What was mounted last lies on top.
  ['/tmp/a', { place: '/tmp', options: ['ro', 'noexec', 'rw'] }],
])('%s lies on the mount with the longest name', (path, mount) => {
  expect(mountOf(path, table)).toMatchObject(mount);
});

test('a system without such a table tells nothing', () => {
  expect(mountOf('/etc', '')).toBeUndefined();
});
