/** What starts programs for a user who has not logged in: systemd's user manager, launchd. Windows has none of this kind. */

/** The daemon is left behind by the command that starts it; the others are that command, and run until they are ended. */
export type ServiceKind = 'daemon' | 'agent' | 'mesh';

export interface ServiceRequest {
  /** Absolute path of the program, then its words. */
  readonly command: readonly string[];
  /** Children are to live on when the daemon is stopped. */
  readonly keepsChildren: boolean;
  /** Absolute. Of an agent that of its settings, of the mesh door the home folder. */
  readonly workingFolder?: string | undefined;
  /** Of the mesh door: absolute path of the file that its output is appended to. */
  readonly logFile?: string | undefined;
  /** Of the mesh door: what it must find in its environment. */
  readonly variables?: Readonly<Record<string, string>>;
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
  /** @throws HostError for what a definition cannot carry */
  definition(request: ServiceRequest): string;
  /** Run first where a definition of ours is there already; the install goes on whatever comes of them. */
  replaceCommands(definitionPath: string): readonly (readonly string[])[];
  /** Run in order after the definition is in its place, and before it is removed. */
  installCommands(definitionPath: string): readonly (readonly string[])[];
  removeCommands(definitionPath: string): readonly (readonly string[])[];
  /** What a user types to start what was only written, in one line of the shell. */
  bootCommand(definitionPath: string): string;
  /** Exits with 0 while the service is up; prints what to show. */
  readonly statusCommand: readonly string[];
  /** `undefined`: it only starts the service, and what runs then is its own master. */
  readonly keeping: Keeping | undefined;
  /** What else a user must do to have the service without being logged in; empty: nothing. */
  readonly hint: string;
}

/** Of a manager that sees to it that the service runs on. */
export interface Keeping {
  /** Whether that process is one of the service. */
  keeps(pid: number): boolean;
  /** Returns when the service is up; without an effect when it is. */
  readonly startCommand: readonly string[];
  readonly restartCommand: readonly string[];
}
