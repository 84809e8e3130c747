/** The part of pidusage 4 that is used; it brings no types. */
declare module 'pidusage' {
  interface Usage {
    /** Milliseconds of user and system time. */
    readonly ctime: number;
    /** Bytes of resident memory. */
    readonly memory: number;
  }
  /** A pid that cannot be read has no entry. */
  export default function pidusage(
    pids: number[],
    options: { readonly maxage: number; readonly usePs: boolean },
  ): Promise<Record<string, Usage | undefined>>;
}
