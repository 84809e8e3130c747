/**
 * Options and environment that every call of git gets (spec git.md §2.2; threat 4 of docs/security.md). A repository's
 * configuration is not read at all (private-common-directory.ts); this is for what git does of its own accord.
 */
import type { Host } from '../../../platform/host.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { childEnvironment } from '../../base/child-environment.ts';
import type { ConfigPin } from './configuration-pins.ts';

/** git has no transport of this name, so nothing is fetched. */
const noProtocol = 'denied_by_claude_ssh';

/**
 * These variables would lead git to another repository than the one that was asked for, or give its arguments another
 * meaning: all that `git rev-parse --local-env-vars` names, and others that git sets for the programs it starts itself.
 */
const redirectingVariables = [
  ...['GIT_ALTERNATE_OBJECT_DIRECTORIES', 'GIT_CONFIG', 'GIT_CONFIG_PARAMETERS', 'GIT_CONFIG_COUNT'],
  ...['GIT_OBJECT_DIRECTORY', 'GIT_DIR', 'GIT_WORK_TREE', 'GIT_IMPLICIT_WORK_TREE', 'GIT_GRAFT_FILE', 'GIT_INDEX_FILE'],
  ...['GIT_NO_REPLACE_OBJECTS', 'GIT_REPLACE_REF_BASE', 'GIT_PREFIX', 'GIT_INTERNAL_SUPER_PREFIX', 'GIT_SHALLOW_FILE'],
  ...['GIT_COMMON_DIR', 'GIT_NAMESPACE', 'GIT_QUARANTINE_PATH', 'GIT_LITERAL_PATHSPECS', 'GIT_GLOB_PATHSPECS'],
  ...['GIT_NOGLOB_PATHSPECS', 'GIT_ICASE_PATHSPECS'],
];

/** The `-c` options of a call. */
export function hardenedOptions({ mayFetch }: { readonly mayFetch: boolean }): string[] {
  const settings = [
    'core.hooksPath=/dev/null',
    'core.fsmonitor=false',
    // A fetch needs the user's own ways to log in. Nothing else asks for a password.
    ...(mayFetch ? [] : ['credential.helper=']),
    'fetch.recurseSubmodules=false',
    'push.recurseSubmodules=false',
    'gc.auto=0',
    'maintenance.auto=false',
    // GIT_GRAFT_FILE makes git print eight lines of advice, which would fill the texts clients get to see.
    'advice.graftFileDeprecated=false',
  ];
  return settings.flatMap((setting) => ['-c', setting]);
}

export interface EnvironmentRequest {
  /** The private one, see private-common-directory.ts. */
  readonly commonDirectory: string;
  readonly indexFile: string | undefined;
  readonly statusLike: boolean;
  /** Whether missing objects may be fetched. */
  readonly mayFetch: boolean;
  readonly untranslated: boolean;
  /** Further ones. */
  readonly variables: readonly Variable[];
  /** `undefined`: the call lists the configuration, so nothing may be pinned. */
  readonly pins: readonly ConfigPin[] | undefined;
  /** The configuration pairs of the daemon's own environment that come before the pins; `undefined`: pins replace them. */
  readonly inheritedPairs: readonly ConfigPin[] | undefined;
}

/** Pins that every call carries. They leave a configured hook without an event to run at. */
const hookPins: readonly ConfigPin[] = [
  ['hook.enabled', 'false'],
  ['hook.event', ''],
];

/** The environment of a call. */
export function hardenedEnvironment(
  inherited: readonly Variable[],
  request: EnvironmentRequest,
  host: Host,
  nullDevice: string,
): Variable[] {
  const added: Variable[] = [
    [
      'GIT_ALLOW_PROTOCOL',
      request.mayFetch ? fetchProtocols(inherited, request.inheritedPairs !== undefined) : noProtocol,
    ],
    ['GIT_TERMINAL_PROMPT', '0'],
    ['GIT_NO_REPLACE_OBJECTS', '1'],
    ['GIT_GRAFT_FILE', nullDevice],
    ['GIT_COMMON_DIR', request.commonDirectory],
  ];
  if (!request.mayFetch) {
    added.push(['GIT_NO_LAZY_FETCH', '1'], ['GIT_ASKPASS', '']);
  }
  if (request.pins !== undefined) {
    added.push(...configCount([...(request.inheritedPairs ?? []), ...hookPins, ...request.pins]));
  } else if (request.inheritedPairs !== undefined) {
    added.push(...configCount(request.inheritedPairs));
  }
  if (request.statusLike) {
    added.push(['GIT_OPTIONAL_LOCKS', '0']);
  }
  if (request.indexFile !== undefined) {
    added.push(['GIT_INDEX_FILE', request.indexFile]);
  }
  if (request.untranslated) {
    added.push(['LC_ALL', 'C'], ['LANGUAGE', 'C']);
  }
  added.push(...request.variables);
  const dropped = [...redirectingVariables, ...added.map(([name]) => name)];
  return [...childEnvironment(inherited, dropped, host), ...added];
}

function configCount(pairs: readonly ConfigPin[]): Variable[] {
  return [
    ['GIT_CONFIG_COUNT', String(pairs.length)],
    ...pairs.flatMap(([key, value], index): Variable[] => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ];
}

/** @param narrowsInherited whether a list that we were started with is only ever made shorter */
function fetchProtocols(inherited: readonly Variable[], narrowsInherited: boolean): string {
  const own = inherited.find(([name]) => name === 'GIT_ALLOW_PROTOCOL');
  if (!narrowsInherited || own === undefined) {
    return 'https:ssh';
  }
  return own[1]
    .split(':')
    .filter((name) => name === 'https' || name === 'ssh')
    .join(':');
}
