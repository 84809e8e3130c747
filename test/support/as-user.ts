/** Programs and daemons of another user than root, started by root. */
import { type Need, probe, root } from './needs.ts';

/**
 * Words before a program that go on as the user. The right to read everything comes along, so that the program is found
 * wherever the clone lies, also in a private home.
 * @param uid any number; there need be no account of it
 */
export function becoming(uid: number): string[] {
  const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...reading, '--'];
}

/** Words for `DaemonOptions.through`: gives the private folder of the test to the user and goes on as that user. */
export function asUser(uid: number): string[] {
  return ['sh', '-c', `chown -R ${uid}:${uid} . && exec "$@"`, 'sh', ...becoming(uid)];
}

export function otherUsers(): Need {
  return root ?? probe('other users with the right to read this clone', [...becoming(65_534), 'true']);
}

/** Root is told which program a process of another user runs only with the right to trace it. */
export function programsOfOthers(): Need {
  const script =
    'setpriv --reuid=65534 --regid=65534 --clear-groups sleep 60 & ' +
    'until [ "$(stat -c %u /proc/$!)" != 0 ]; do sleep 0.01; done; readlink /proc/$!/exe; told=$?; kill $!; exit $told';
  return root ?? probe('looking at the programs of other users', ['sh', '-c', script]);
}
