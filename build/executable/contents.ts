/** What an executable is made of, for its users: licence texts, and a list of components (CycloneDX). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { licenseOf, type Manifest, manifestOf } from './packages.ts';

export interface Component {
  /** Folder of its package. */
  readonly folder: string;
  /** Of a folder that is no package: an archive of Node.js. */
  readonly manifest?: Manifest | undefined;
  /** Folder that has the text of its licence, where its own has none. */
  readonly licenseFolder?: string;
  /** The one file of it that is inside, for components that are taken as they are. */
  readonly file?: string;
  readonly type: 'library' | 'framework';
}

/** @param own the project itself comes first */
export function notices(own: string, components: readonly Component[]): string {
  const of = ({ name, version, license }: Manifest) => `${name} ${version} (${license})`;
  const texts = [
    `${of(manifestOf(own))}\n\n${licenseOf(own)}`,
    ...components.map((component) => {
      const { folder, licenseFolder } = component;
      const manifest = manifestOfComponent(component);
      const text = licenseOf(folder) ?? (licenseFolder === undefined ? undefined : licenseOf(licenseFolder));
      if (text === undefined) {
        throw new Error(`${manifest.name}: there is no text of its licence in ${folder}`);
      }
      return `${of(manifest)}\n\n${text}`;
    }),
  ];
  return texts.map((text) => `${text.replaceAll('\r\n', '\n').trimEnd()}\n`).join(`\n${'='.repeat(80)}\n\n`);
}

/** CycloneDX 1.5, the same for the same parts: no time of its making, and no random number. */
export function bill(own: string, buildTime: string, components: readonly Component[]): string {
  const subject = manifestOf(own);
  return `${JSON.stringify(
    {
      $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
      version: 1,
      metadata: {
        ...(Number.isNaN(Date.parse(buildTime)) ? {} : { timestamp: buildTime }),
        component: entry(subject, 'application'),
      },
      components: components.map((each) => entry(manifestOfComponent(each), each.type, each.file)),
      dependencies: [
        { ref: reference(subject), dependsOn: components.map((each) => reference(manifestOfComponent(each))) },
      ],
    },
    undefined,
    2,
  )}\n`;
}

function manifestOfComponent({ folder, manifest }: Component): Manifest {
  return manifest ?? manifestOf(folder);
}

function reference({ name, version }: Manifest): string {
  return `${name}@${version}`;
}

function entry(manifest: Manifest, type: string, file?: string): object {
  const { name, version, license } = manifest;
  return {
    'bom-ref': reference(manifest),
    type,
    name,
    version,
    ...(file !== undefined && { hashes: [{ alg: 'SHA-256', content: sha256(readFileSync(file)) }] }),
    licenses: [{ license: { id: license } }],
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  };
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
