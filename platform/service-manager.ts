/** What starts programs for a user who has not logged in: systemd's user manager, launchd. Windows has none of this kind. */

/** The daemon is left behind by the command that starts it; the agent is that command, and runs until it is ended. */
export type ServiceKind = 'daemon' | 'agent';

export interface ServiceRequest {
  /** Absolute path of the program, then its words. */
  readonly command: readonly string[];
  /** Children are to live on when the daemon is stopped. */
  readonly keepsChildren: boolean;
  /** Of an agent: absolute. */
  readonly workingFolder?: string | undefined;
}

export interface ServiceManager {
  /** As the user knows it. */
  readonly name: string;
  /** Succeeds where the manager can be reached; its failure is shown to the user. */
  readonly probe: readonly string[];
  /** Where the manager looks for the definition. */
  definitionPath(home: string, environment: NodeJS.ProcessEnv): string;
  /** A mark in every definition we write: a file without it is somebody else's. */
  readonly mark: string;
  /** @throws HostError for a word that a definition cannot carry */
  definition(request: ServiceRequest): string;
  /** Run first where a definition of ours is there already; the install goes on whatever comes of them. */
  replaceCommands(definitionPath: string): readonly (readonly string[])[];
  /** Run in order after the definition is in its place, and before it is removed. */
  installCommands(definitionPath: string): readonly (readonly string[])[];
  removeCommands(definitionPath: string): readonly (readonly string[])[];
  /** Exits with 0 while the service is up; prints what to show. */
  readonly statusCommand: readonly string[];
  /** What else a user must do to have the service without being logged in; empty: nothing. */
  readonly hint: string;
}
