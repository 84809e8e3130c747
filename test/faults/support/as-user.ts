/** A daemon of another user than root, made by root. */

/**
 * Words for `DaemonOptions.through`: gives the private folder of the test to the user and goes on as that user. The right to
 * read everything comes along, so that the program is found wherever the clone lies.
 * @param uid any number; there need be no account of it
 */
export function asUser(uid: number): string[] {
  const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const change = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...reading, '--'];
  return ['sh', '-c', `chown -R ${uid}:${uid} . && exec "$@"`, 'sh', ...change];
}
