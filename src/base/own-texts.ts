/** Texts that the build of the single executable puts inside (build/executable/contents.ts). */
import { isExecutable } from './own-program.ts';

/**
 * @param name `notices`: the licences of everything inside; `sbom`: the same things as a CycloneDX document
 * @returns `undefined` after a start from source, whose packages have their texts themselves
 */
export function ownText(name: 'notices' | 'sbom'): string | undefined {
  return isExecutable ? process.getBuiltinModule('node:sea').getAsset(name, 'utf8') : undefined;
}
