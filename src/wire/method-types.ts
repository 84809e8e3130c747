/**
 * Params and results of the contract's methods, the same on both ends: the server's methods return these types and the client
 * library hands them out. A test holds them against the conformance cases (test/client/method-types.test.ts).
 */
import type { DaemonDescription, SessionActivity, SessionInfo } from './extension-types.ts';
import type { JsonText } from './json.ts';

export type FileEntry = {
  readonly name: string;
  /** The folder as it was asked for, and the name. */
  readonly path: string;
  readonly isDir: boolean;
};

export type PathParams = { readonly path: string };

export type ReadParams = PathParams & {
  /** A larger file is refused. */
  readonly maxBytes?: number | undefined;
};

export type ExtractParams = {
  /** A gzip-compressed tar archive, there. */
  readonly archivePath: string;
  readonly destDir: string;
};

/** Params of `git.*`; what a method or a profile does not know is ignored (spec git.md §0). */
export type GitPathParams = { readonly path: string };

export type GitStatusParams = GitPathParams & {
  /** The repository of the worktree. Profiles N and later ask for it. */
  readonly baseRepo?: string | undefined;
};

export type WorktreeCreateParams = {
  readonly baseRepo: string;
  readonly branchName: string;
  readonly worktreePath: string;
  readonly sourceBranch?: string | undefined;
  /** Profile N and later. */
  readonly worktreeRoot?: string | undefined;
  /** Profile N and later. */
  readonly timeoutMs?: number | undefined;
  /** Profile N+: attach this branch instead of making one. */
  readonly existingBranch?: string | undefined;
};

export type WorktreeRemoveParams = {
  readonly baseRepo: string;
  readonly worktreePath: string;
  readonly branchName?: string | undefined;
  /** Profile N and later. */
  readonly worktreeRoot?: string | undefined;
};

/** `repo`, `branch` and `root` only where git could tell them. */
export type GitInfo = {
  readonly isRepo: boolean;
  /** Name of the repository's folder. */
  readonly repo?: string | undefined;
  /** `detached:<commit>` when `HEAD` names no branch. */
  readonly branch?: string | undefined;
  readonly root?: string | undefined;
  /** `owner/name` of the remote, or empty. */
  readonly repoSlug: string;
  readonly defaultBranch: string;
};

export type GitStatus = {
  readonly isRepo: boolean;
  readonly clean: boolean;
  /** Lines of `git status --porcelain`; absent when there are none. */
  readonly changes?: readonly string[] | undefined;
};

export type GitBranches = { readonly isRepo: boolean; readonly branches: readonly string[] };

/** Failures of the work are results, not errors. */
export type WorktreeCreated =
  | {
      readonly success: true;
      readonly path: string;
      readonly sourceBranch?: string | undefined;
      /** Profile N+. */
      readonly branch?: string | undefined;
    }
  | {
      readonly success: false;
      readonly error: string;
      readonly errorCode?: string | undefined;
      readonly branchKept?: true | undefined;
    };

export type WorktreeRemoved =
  | { readonly success: true; readonly branchKept?: true | undefined }
  | { readonly success: false; readonly error: string };

export type Extracted = {
  readonly success: boolean;
  readonly fileCount: number;
  readonly error?: string | undefined;
};

export type Pruned = {
  readonly root: string;
  readonly pruned: readonly string[];
  readonly prunedLegacy: readonly string[];
  readonly staleArchives: number;
  readonly kept: number;
  readonly live: number;
  readonly young: number;
  readonly legacy: string;
  readonly skipped?: string | undefined;
  readonly errors?: readonly string[] | undefined;
  readonly minAgeDays: number;
};

export type Capabilities = {
  readonly version: string;
  readonly methods: readonly string[];
  /** Profile N and later. */
  readonly instanceId?: string | undefined;
  /** Profile N and later; milliseconds since the epoch. */
  readonly startedAt?: number | undefined;
  readonly features: readonly string[];
  /** Profile N2: whether callers are checked beyond the token. */
  readonly peerCheck?: string | undefined;
  readonly peerCheckBy?: readonly string[] | undefined;
};

/** Whether the administrator there demands that the CLI be started through a program of theirs. */
export type ResolvedLauncher =
  | { readonly status: 'none' }
  | { readonly status: 'usable'; readonly argv: readonly string[]; readonly source: string }
  | { readonly status: 'unusable'; readonly source: string; readonly reason: string }
  | { readonly status: 'unreadable'; readonly reason: string; readonly path: string };

/** CT-1: only with `wantPid`. */
type ProcessIdentity = { readonly pid?: number | undefined; readonly startTime?: number | undefined };

type StreamState = {
  readonly running: boolean;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly stdinApplied: number;
};

export type SpawnParams = {
  readonly id: string;
  readonly command: string;
  readonly args?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly wantPid?: boolean | undefined;
  /** Profile N+. */
  readonly disableShellAgentSocket?: boolean | undefined;
  /** Profile N2: the program, with its arguments, through which `command` is started (`launcher.resolve`). */
  readonly launcher?: readonly string[] | undefined;
  /** Extensions, see docs/extensions.md. */
  readonly ifAbsent?: boolean | undefined;
  readonly fromSeq?: number | undefined;
  readonly door?: string | undefined;
};

export type Spawned = { readonly success: true; readonly existing?: true | undefined } & Partial<StreamState> &
  ProcessIdentity;

export type Reattached = { readonly found: boolean } & StreamState & ProcessIdentity;

export type InputTaken = {
  readonly success: true;
  /** Bytes taken since the start. */
  readonly applied: number;
  readonly duplicate?: true | undefined;
};

export type KilledAndWaited = {
  readonly found: boolean;
  readonly died: boolean;
  readonly alreadyExited?: true | undefined;
  readonly escalated?: true | undefined;
};

type Method<P, R> = { readonly params: P; readonly result: R };
type NoParams = undefined;

/** Every method by its name, of every profile. */
export interface Methods {
  'server.ping': Method<NoParams, { readonly pong: true }>;
  /** Profile S. */
  'server.version': Method<NoParams, { readonly version: string; readonly platform: string; readonly arch: string }>;
  'server.capabilities': Method<NoParams, Capabilities>;
  /** Profile S answers by closing the connection. */
  'server.shutdown': Method<NoParams, { readonly ok: true }>;
  'files.list': Method<PathParams, { readonly entries: readonly FileEntry[] }>;
  'files.validate': Method<
    PathParams,
    { readonly valid: boolean; readonly isDir: boolean; readonly error?: string | undefined }
  >;
  /** `mode` as `ls` prints it, e.g. `-rw-r--r--`; empty for what does not exist. */
  'files.stat': Method<
    PathParams,
    { readonly exists: boolean; readonly isDir: boolean; readonly size: number; readonly mode: string }
  >;
  /** Bytes that are not UTF-8 arrive as U+FFFD. */
  'files.read': Method<ReadParams, { readonly content: string; readonly exists: boolean }>;
  'files.extract_tar': Method<ExtractParams, Extracted>;
  'git.info': Method<GitPathParams, GitInfo>;
  'git.status': Method<GitStatusParams, GitStatus>;
  'git.list_branches': Method<GitPathParams, GitBranches>;
  'git.worktree_create': Method<WorktreeCreateParams, WorktreeCreated>;
  'git.worktree_remove': Method<WorktreeRemoveParams, WorktreeRemoved>;
  'process.spawn': Method<SpawnParams, Spawned>;
  'process.stdin': Method<
    {
      readonly id: string;
      readonly data: string;
      readonly offset?: number | undefined;
      readonly exact?: boolean | undefined;
      readonly aside?: number | undefined;
    },
    InputTaken
  >;
  'process.kill': Method<{ readonly id: string; readonly signal?: string | undefined }, { readonly success: true }>;
  'process.killAndWait': Method<
    {
      readonly id: string;
      readonly signal?: string | undefined;
      readonly timeoutMs?: number | undefined;
      readonly escalate?: boolean | undefined;
    },
    KilledAndWaited
  >;
  'process.reattach': Method<
    { readonly id: string; readonly fromSeq?: number | undefined; readonly wantPid?: boolean | undefined },
    Reattached
  >;
  /** Profile N+. */
  'plugins.prune': Method<
    { readonly minAgeDays?: number | undefined; readonly keep?: readonly string[] | undefined },
    Pruned
  >;
  /** Profile N2. */
  'launcher.resolve': Method<{ readonly cliPath: string }, ResolvedLauncher>;
  'holdfast.describe': Method<object, DaemonDescription>;
  'holdfast.sessions': Method<{ readonly ends?: boolean | undefined }, { readonly sessions: readonly SessionInfo[] }>;
  'holdfast.watch': Method<{ readonly events?: boolean | undefined }, { readonly sessions: readonly SessionInfo[] }>;
  'holdfast.observe': Method<
    { readonly id: string; readonly fromSeq?: number | undefined; readonly activity?: boolean | undefined },
    Reattached & { readonly activity?: SessionActivity | undefined }
  >;
  'holdfast.unobserve': Method<{ readonly id: string }, { readonly success: true }>;
  'holdfast.closeStdin': Method<{ readonly id: string; readonly offset: number }, InputTaken>;
  'holdfast.release': Method<
    { readonly id?: string | undefined; readonly all?: boolean | undefined; readonly timeoutMs?: number | undefined },
    { readonly released: number }
  >;
}

/** Name of a method, as on the wire. */
export type MethodName = keyof Methods;
/** Params of a method. */
export type ParamsOf<N extends MethodName> = Methods[N]['params'];
/** Result of a method. */
export type ResultOf<N extends MethodName> = Methods[N]['result'];

/** A value as the server builds it: numbers may be bigints, texts may be JSON already. */
export type Encodable<T> = T extends number
  ? number | bigint
  : T extends string
    ? T | JsonText
    : T extends boolean | undefined
      ? T
      : T extends readonly (infer E)[]
        ? readonly Encodable<E>[]
        : { readonly [K in keyof T]: Encodable<T[K]> };
