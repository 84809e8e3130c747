/**
 * Options and environment that keep git from running code a repository configured (spec git.md §2.2; threat 4 of
 * docs/faults.md). Replies do not depend on them.
 */
import type { GitHost } from '../../../platform/git-host.ts';
import type { Host } from '../../../platform/host.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { childEnvironment } from '../../base/child-environment.ts';
import type { ConfigPin } from './configuration-pins.ts';

/** `heavy` is for the calls that look at files of the repository and for the calls that find out where the repository is. */
export type HardeningSet = 'light' | 'heavy';

/** git has no transport of this name, so nothing is fetched. */
const noProtocol = 'no-protocol';

/** These variables would lead git to another repository than the one that was asked for. */
const redirectingVariables = ['GIT_DIR', 'GIT_COMMON_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE'];
/** These are dropped too where inherited configuration is taken over pair by pair. */
const configVariables = ['GIT_CONFIG', 'GIT_CONFIG_PARAMETERS'];

export interface OptionsRequest {
  readonly set: HardeningSet;
  /** The user's own ignore file; `undefined`: there is none. */
  readonly excludesFile: string | undefined;
  /** `git status` and its like: git for Windows does not take `NUL` for their ignore file. */
  readonly statusLike: boolean;
}

/** The `-c` options of a call. */
export function hardenedOptions(request: OptionsRequest, host: GitHost): string[] {
  const noExcludes = request.statusLike ? '/dev/null' : host.nullDevice;
  const settings = [
    'core.hooksPath=/dev/null',
    'core.fsmonitor=false',
    `core.excludesFile=${request.excludesFile ?? noExcludes}`,
    'credential.helper=',
    'fetch.recurseSubmodules=false',
    'push.recurseSubmodules=false',
    'gc.auto=0',
    'maintenance.auto=false',
    // GIT_GRAFT_FILE makes git print eight lines of advice, which would fill the texts clients get to see.
    'advice.graftFileDeprecated=false',
  ];
  if (request.set === 'heavy') {
    settings.push('core.attributesFile=/dev/null');
  }
  return settings.flatMap((setting) => ['-c', setting]);
}

export interface EnvironmentRequest {
  readonly set: HardeningSet;
  readonly commonDirectory: string | undefined;
  readonly indexFile: string | undefined;
  readonly statusLike: boolean;
  readonly untranslated: boolean;
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
  const keepsPairs = request.inheritedPairs !== undefined;
  const added: Variable[] = [
    ['GIT_ALLOW_PROTOCOL', allowedProtocols(inherited, request.set, keepsPairs)],
    ['GIT_TERMINAL_PROMPT', '0'],
    ['GIT_NO_REPLACE_OBJECTS', '1'],
    ['GIT_GRAFT_FILE', nullDevice],
  ];
  if (request.set === 'heavy') {
    added.push(['GIT_NO_LAZY_FETCH', '1'], ['GIT_ASKPASS', '']);
  }
  if (request.commonDirectory !== undefined) {
    added.push(['GIT_COMMON_DIR', request.commonDirectory]);
  }
  if (request.pins !== undefined) {
    added.push(...configCount([...(request.inheritedPairs ?? []), ...hookPins, ...request.pins]));
  } else if (keepsPairs) {
    added.push(...configCount(request.inheritedPairs ?? []));
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

  const dropped = [...redirectingVariables, ...(keepsPairs ? configVariables : []), ...added.map(([name]) => name)];
  return [...childEnvironment(inherited, dropped, host), ...added];
}

/** Our own environment for the calls of git that are not hardened. */
export function withoutRedirections(inherited: readonly Variable[], host: Host): Variable[] {
  return childEnvironment(inherited, [...redirectingVariables, ...configVariables], host);
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

function allowedProtocols(inherited: readonly Variable[], set: HardeningSet, narrowsInherited: boolean): string {
  if (set === 'heavy') {
    return noProtocol;
  }
  const own = inherited.find(([name]) => name === 'GIT_ALLOW_PROTOCOL');
  if (!narrowsInherited || own === undefined) {
    return 'https:ssh';
  }
  return own[1]
    .split(':')
    .filter((name) => name === 'https' || name === 'ssh')
    .join(':');
}
