/** What the contracts must know about the machine they run on, beside the adapter itself. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Platform } from '../../platform/platform.ts';
import { removeFolder } from '../support/remove-folder.ts';

export interface Machine {
  readonly platform: Platform;
  /** A small program that ends at once with the code. */
  exitWith(code: number): readonly [command: string, ...args: string[]];
  /** How many of them are started where many are. */
  readonly shortLived: number;
  /** Descriptors, or handles, this process has open. */
  openHandles(): number;
  /** Whether links to folders can be made here. */
  readonly canLink: boolean;
  /** Name of what a listener publishes in its folder. */
  readonly published: string;
  /** The contract's words on this machine. */
  readonly words: {
    readonly noSuchFile: string;
    /** Of a folder whose parent is missing too. */
    readonly noSuchFolder: string;
    readonly notDirectory: string;
    readonly notEmpty: string;
    readonly exists: string;
    readonly notFoundInPath: string;
    readonly statOperation: string;
  };
}

/** A private folder, gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hf-'));
  onTestFinished(() => removeFolder(folder));
  return folder;
}
