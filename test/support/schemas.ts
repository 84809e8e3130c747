/** The JSON of the verbs against docs/schemas/, where programs look up what they may rely on. */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'vitest';

const folder = join(import.meta.dirname, '..', '..', 'docs', 'schemas');

export const schemaNames = globSync('*.json', { cwd: folder }).map((file) => basename(file, '.json'));

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
for (const name of schemaNames) {
  ajv.addSchema(JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')));
}

/**
 * Fails the test when `text` is no JSON document of that schema.
 * @returns the document
 */
export function expectSchema(name: string, text: string): unknown {
  const document: unknown = JSON.parse(text);
  const isValid = ajv.validate(`${name}.json`, document);
  expect({ name, errors: isValid ? [] : ajv.errors, text: isValid ? '' : text }).toEqual({
    name,
    errors: [],
    text: '',
  });
  return document;
}
