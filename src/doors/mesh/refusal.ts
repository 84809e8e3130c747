/** Why a verb of the mesh door ends without having done its work: what stands on stderr, and the exit code (spec mesh.md §2). */
export const exitCodes = { failed: 1, usage: 2, unauthorized: 3, otherHost: 4 } as const;

export class MeshRefusal extends Error {
  override readonly name = 'MeshRefusal';
  readonly exitCode: number;

  /** @param message whole lines, without the newline at the end */
  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
