/**
 * Makes src/wire/base64-encoder/encode-wasm.ts of encode.wat: `npm run build:wasm`. The result is kept in the repository, so
 * that nothing has to be built to run the program; a test makes it again and compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import loadWabt from 'wabt';

const place = (name: string): string => fileURLToPath(new URL(`../src/wire/base64-encoder/${name}`, import.meta.url));
export const generatedPath = place('encode-wasm.ts');

/** The text of the generated file. @throws when the source is not valid */
export async function generate(): Promise<string> {
  const wabt = await loadWabt();
  const module = wabt.parseWat('encode.wat', readFileSync(place('encode.wat'), 'utf8'), { simd: true });
  try {
    module.validate();
    const { buffer } = module.toBinary({});
    return `/** The binary form of encode.wat, in base64. Made by \`npm run build:wasm\`; not to be changed by hand. */
export const encodeWasm =
  '${Buffer.from(buffer).toString('base64')}';
`;
  } finally {
    module.destroy();
  }
}

if (import.meta.main) {
  writeFileSync(generatedPath, await generate());
}
