/** One typed function for each method of the contract, of every profile (spec client.md §3). */
import type { MethodName, ParamsOf, ResultOf } from '../wire/method-types.ts';

/** What sends a request; `Host.request`. */
export type Send = <N extends MethodName>(method: N, params?: ParamsOf<N>) => Promise<ResultOf<N>>;

type Call<N extends MethodName> =
  undefined extends ParamsOf<N> ? () => Promise<ResultOf<N>> : (params: ParamsOf<N>) => Promise<ResultOf<N>>;

/** The daemon itself. */
export interface ServerMethods {
  readonly ping: Call<'server.ping'>;
  /** Profile S only. */
  readonly version: Call<'server.version'>;
  readonly capabilities: Call<'server.capabilities'>;
  /**
   * Ends the daemon and its processes. Profile S closes the connection instead of a reply, and the others may too: the call
   * then rejects with `closed` and `maybeDone`.
   */
  readonly shutdown: Call<'server.shutdown'>;
}

/** Files there: a path is one of that host; a leading `~` is the home folder. */
export interface FilesMethods {
  readonly list: Call<'files.list'>;
  readonly validate: Call<'files.validate'>;
  readonly stat: Call<'files.stat'>;
  readonly read: Call<'files.read'>;
  readonly extractTar: Call<'files.extract_tar'>;
}

/** Repositories there (spec git.md). */
export interface GitMethods {
  readonly info: Call<'git.info'>;
  readonly status: Call<'git.status'>;
  readonly listBranches: Call<'git.list_branches'>;
  readonly worktreeCreate: Call<'git.worktree_create'>;
  readonly worktreeRemove: Call<'git.worktree_remove'>;
}

/** The bare methods; `spawn`, `session` and `observe` of the host do more. */
export interface ProcessMethods {
  readonly spawn: Call<'process.spawn'>;
  readonly stdin: Call<'process.stdin'>;
  readonly kill: Call<'process.kill'>;
  readonly killAndWait: Call<'process.killAndWait'>;
  readonly reattach: Call<'process.reattach'>;
}

/** Plugin folders of that host. */
export interface PluginsMethods {
  /** Profile N+ only. */
  readonly prune: (params?: ParamsOf<'plugins.prune'>) => Promise<ResultOf<'plugins.prune'>>;
}

/** The launcher that an administrator demands (docs/launcher.md). */
export interface LauncherMethods {
  /** Profile N2 only. */
  readonly resolve: Call<'launcher.resolve'>;
}

/** One typed function for each method of the contract; all reject with kind `rpc` when the daemon refuses. */
export interface ContractMethods {
  /** The daemon itself. */
  readonly server: ServerMethods;
  /** Files there. */
  readonly files: FilesMethods;
  /** Repositories there. */
  readonly git: GitMethods;
  /** The bare requests about processes. */
  readonly process: ProcessMethods;
  /** Profile N+ only. */
  readonly plugins: PluginsMethods;
  /** Profile N2 only. */
  readonly launcher: LauncherMethods;
}

export function contractMethods(send: Send): ContractMethods {
  const call =
    <N extends MethodName>(method: N) =>
    (params?: ParamsOf<N>): Promise<ResultOf<N>> =>
      send(method, params);
  return {
    server: {
      ping: call('server.ping'),
      version: call('server.version'),
      capabilities: call('server.capabilities'),
      shutdown: call('server.shutdown'),
    },
    files: {
      list: call('files.list'),
      validate: call('files.validate'),
      stat: call('files.stat'),
      read: call('files.read'),
      extractTar: call('files.extract_tar'),
    },
    git: {
      info: call('git.info'),
      status: call('git.status'),
      listBranches: call('git.list_branches'),
      worktreeCreate: call('git.worktree_create'),
      worktreeRemove: call('git.worktree_remove'),
    },
    process: {
      spawn: call('process.spawn'),
      stdin: call('process.stdin'),
      kill: call('process.kill'),
      killAndWait: call('process.killAndWait'),
      reattach: call('process.reattach'),
    },
    plugins: { prune: call('plugins.prune') },
    launcher: { resolve: call('launcher.resolve') },
  };
}
