/** `config.json`: the meshes that this user has joined (spec mesh.md §1), and which of them a daemon serves (§3.1). */
import { readFileSync } from 'node:fs';
import { messageOf } from '../../base/error-texts.ts';
import { printable } from '../../base/printable.ts';
import type { Member } from './broker/member.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

/** One joined mesh: who we are there, and what must not be shown of it. */
export interface JoinedMesh extends Member {
  /** Of the whole mesh; the door has no use for it but to keep it out of every log. */
  readonly rootKey: string | undefined;
}

export interface MeshConfig {
  readonly displayName: string | undefined;
  readonly meshes: readonly JoinedMesh[];
}

const noMesh = 'no mesh joined; run `claudemesh join <invite-url>` first';
const texts = ['meshId', 'memberId', 'slug', 'pubkey', 'secretKey', 'brokerUrl'] as const;

/** No file, or one without a list of meshes, is one with none. @throws MeshRefusal */
export function readConfig(file: string): MeshConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { displayName: undefined, meshes: [] };
    }
    throw unreadable(file, messageOf(error));
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What the parser says shows a piece of the file, which may be a key.
    throw unreadable(file, 'not valid JSON');
  }
  const { displayName, meshes } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return {
    displayName: typeof displayName === 'string' && displayName !== '' ? displayName : undefined,
    meshes: Array.isArray(meshes) ? meshes.map((each, index) => joinedMesh(each, index, file)) : [],
  };
}

/** Whether the keys are any is for the broker's connection to say: a daemon without one still takes messages and keeps them. */
function joinedMesh(value: unknown, index: number, file: string): JoinedMesh {
  const row = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const fault = texts.find((name) => typeof row[name] !== 'string' || row[name] === '');
  if (fault !== undefined) {
    throw unreadable(file, `meshes[${index}].${fault} must be a text`);
  }
  const { meshId, memberId, slug, pubkey, secretKey, brokerUrl } = row as unknown as JoinedMesh;
  const rootKey = typeof row.rootKey === 'string' && row.rootKey !== '' ? row.rootKey : undefined;
  const keys = { pubkey: pubkey.toLowerCase(), secretKey: secretKey.toLowerCase() };
  return { meshId, memberId, slug, ...keys, brokerUrl, rootKey };
}

function unreadable(file: string, reason: string): MeshRefusal {
  return new MeshRefusal(`Failed to load ${printable(file)}: ${printable(reason)}`, exitCodes.usage);
}

/** @param slug as `--mesh` has it @throws MeshRefusal */
export function chooseMesh({ meshes }: MeshConfig, slug: string | undefined): JoinedMesh {
  const joined = meshes.map((mesh) => printable(mesh.slug)).join(', ');
  if (slug !== undefined) {
    const found = meshes.find((mesh) => mesh.slug === slug);
    if (found === undefined) {
      const known = joined === '' ? '(none)' : joined;
      throw new MeshRefusal(`mesh not found: ${printable(slug)}\njoined meshes: ${known}`, exitCodes.usage);
    }
    return found;
  }
  const [only, ...others] = meshes;
  if (only === undefined) {
    throw new MeshRefusal(noMesh, exitCodes.usage);
  }
  if (others.length > 0) {
    throw new MeshRefusal(`multiple meshes joined; pass --mesh <slug>\navailable: ${joined}`, exitCodes.usage);
  }
  return only;
}
