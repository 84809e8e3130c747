/**
 * Which of a repository's settings git may read (spec git.md §2.2, "whose configuration git reads"): those that describe the
 * repository, its files and its branches. None of them starts a program, opens a connection or names another file to read.
 */
import { partsOf, type Setting } from './configuration-file.ts';

/** Keys of two parts. */
const plainKeys: ReadonlySet<string> = new Set([
  ...[
    'repositoryformatversion',
    'bare',
    // What the file system can do, and how files are compared.
    ...['filemode', 'symlinks', 'ignorecase', 'precomposeunicode', 'longpaths', 'hidedotfiles', 'sharedrepository'],
    ...['trustctime', 'checkstat', 'untrackedcache', 'preloadindex', 'splitindex', 'fscache'],
    // Line ends.
    ...['autocrlf', 'eol', 'safecrlf', 'checkroundtripencoding', 'bigfilethreshold'],
    ...['sparsecheckout', 'sparsecheckoutcone'],
    // How names are printed.
    ...['quotepath', 'abbrev'],
    ...['logallrefupdates', 'filesreflocktimeout', 'packedrefstimeout', 'compression', 'loosecompression'],
  ].map((name) => `core.${name}`),
  ...['sparse', 'version', 'threads', 'skiphash', 'recordendofindexentries', 'recordoffsettable'].map(
    (name) => `index.${name}`,
  ),
  'feature.manyfiles',
  'init.defaultbranch',
  ...['showuntrackedfiles', 'renames', 'renamelimit'].map((name) => `status.${name}`),
  // Of `diff` only what decides about the letters of a status.
  ...['renames', 'renamelimit', 'ignoresubmodules'].map((name) => `diff.${name}`),
  ...['user', 'author', 'committer'].flatMap((who) => [`${who}.name`, `${who}.email`]),
  'user.useconfigonly',
  'worktree.userelativepaths',
  'submodule.active',
]);

/** Keys of three parts: the last ones by the first. */
const partsByName: ReadonlyMap<string, readonly string[]> = new Map([
  ['remote', ['url', 'fetch', 'pushurl']],
  ['branch', ['remote', 'merge']],
  ['submodule', ['path', 'url', 'active', 'ignore']],
]);

/** What makes git fetch an object that is missing. */
const fetchingParts = ['promisor', 'partialclonefilter'];

export interface AllowedRequest {
  /** Whether missing objects of a partial clone may be fetched. */
  readonly mayFetch: boolean;
}

/** Those of the settings that git may read, in their order. */
export function allowedSettings(settings: readonly Setting[], request: AllowedRequest): Setting[] {
  return settings.filter(({ key, value }) => isAllowed(key, value, request));
}

function isAllowed(key: string, value: string | undefined, { mayFetch }: AllowedRequest): boolean {
  const { section, subsection, variable } = partsOf(key);
  if (section === 'extensions') {
    return subsection === undefined && isAllowedExtension(variable, value, mayFetch);
  }
  if (subsection === undefined) {
    return plainKeys.has(key);
  }
  const isFetching = section === 'remote' && fetchingParts.includes(variable);
  return isFetching ? mayFetch : (partsByName.get(section)?.includes(variable) ?? false);
}

/** An extension that git does not know is passed on, because git then refuses the repository, and must. */
function isAllowedExtension(name: string, value: string | undefined, mayFetch: boolean): boolean {
  switch (name) {
    case 'worktreeconfig':
      // git would read another file. What that file says comes with these settings (repository-settings.ts).
      return false;
    case 'partialclone':
      return mayFetch;
    case 'refstorage':
      // Newer versions take the address of another place.
      return value === 'files' || value === 'reftable';
    default:
      return true;
  }
}

/** Whether the last setting of this name means true, as git reads truth. */
export function isTrue(settings: readonly Setting[], key: string): boolean {
  const last = settings.findLast((setting) => setting.key === key);
  if (last === undefined) {
    return false;
  }
  const { value } = last;
  return value === undefined || /^(?:true|yes|on|[+-]?0*[1-9][0-9]*[kmg]?)$/i.test(value);
}
