/** Which of the two systems of this adapter we are on. */
export type PosixSystem = 'linux' | 'darwin';

export const posixSystem: PosixSystem = process.platform === 'darwin' ? 'darwin' : 'linux';
