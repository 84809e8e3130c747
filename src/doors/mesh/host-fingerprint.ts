/**
 * Which machine a daemon folder belongs to (spec mesh.md §3.3). A folder that was copied with its machine, as by a cloned image
 * or a restored backup, would run one member twice. It is a check against accidents and not against attackers.
 */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import { printable } from '../../base/printable.ts';
import { fingerprintFileName } from './folders.ts';
import type { MeshLog } from './log.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

export interface HostIdentity {
  /** `linux:<machine-id>`; empty where the system tells none. */
  readonly hostId: string;
  /** Empty: no interface counts. */
  readonly stableMac: string;
}

export type ClonePolicy = 'refuse' | 'warn' | 'allow';
export const clonePolicies: readonly ClonePolicy[] = ['refuse', 'warn', 'allow'];

const schemaVersion = 1;
const noMac = '00:00:00:00:00:00';
/** Interfaces that come and go with programs. */
const unstable = /^(lo|docker|br-|veth|tap|tun|tailscale|wg|utun|ppp|vboxnet|vmnet|awdl|llw)/i;
const maxBytes = 4096;

/** @returns 64 hex digits */
export function fingerprintOf({ hostId, stableMac }: HostIdentity): string {
  return createHash('sha256').update(hostId).update('\0').update(stableMac).digest('hex');
}

/** What later generations write (schema 2); records of theirs are understood. */
export function laterFingerprintOf({ hostId, stableMac }: HostIdentity): string {
  return createHash('sha256').update('v2\0').update(hostId).update('\0').update(stableMac).digest('hex');
}

type Interfaces = ReturnType<typeof networkInterfaces>;

/** Of the interfaces that have an address and are not made by programs, the first by name. */
export function stableMac(interfaces: Interfaces = networkInterfaces()): string {
  const names = Object.keys(interfaces)
    .filter((name) => !unstable.test(name))
    .sort();
  for (const name of names) {
    const found = interfaces[name]?.find(({ internal, mac }) => !internal && mac !== '' && mac !== noMac);
    if (found !== undefined) {
      return found.mac;
    }
  }
  return '';
}

interface StoredFingerprint {
  readonly fingerprint: string;
  readonly hostId: string;
}

/** `undefined`: it cannot be read as one. */
function parseRecord(text: string): StoredFingerprint | undefined {
  try {
    const { fingerprint, host_id: hostId } = JSON.parse(text) as Record<string, unknown>;
    return typeof fingerprint === 'string' && typeof hostId === 'string' ? { fingerprint, hostId } : undefined;
  } catch {
    return undefined;
  }
}

/** @returns the first 16 digits @throws Node's error */
export function writeFingerprint(directory: RunDirectory, host: HostIdentity): string {
  const record = {
    schema_version: schemaVersion,
    fingerprint: fingerprintOf(host),
    host_id: host.hostId,
    stable_mac: host.stableMac,
    written_at: new Date().toISOString(),
  };
  directory.publish(fingerprintFileName, Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
  return record.fingerprint.slice(0, 16);
}

/** @throws MeshRefusal when the folder was last used on another machine and `policy` is to refuse that */
export function checkHost(directory: RunDirectory, host: HostIdentity, policy: ClonePolicy, log: MeshLog): void {
  const text = directory.readText(fingerprintFileName, maxBytes);
  if (text === undefined) {
    if (lstatSync(join(directory.path, fingerprintFileName), { throwIfNoEntry: false }) === undefined) {
      log.info('host_fingerprint_written', { fingerprint_prefix: writeFingerprint(directory, host) });
    }
    return;
  }
  const stored = parseRecord(text);
  if (stored === undefined || [fingerprintOf(host), laterFingerprintOf(host)].includes(stored.fingerprint)) {
    return;
  }
  if (stored.hostId !== '' && stored.hostId === host.hostId) {
    // Another network card in the same machine.
    writeFingerprint(directory, host);
    return;
  }
  const mismatch = 'host_fingerprint mismatch: this daemon dir was started on a different host.';
  if (policy === 'refuse') {
    const lines = [
      mismatch,
      `  stored host_id: ${printable(stored.hostId)}`,
      `  current host_id: ${printable(host.hostId)}`,
      'Run `claudemesh daemon accept-host` to write a fresh fingerprint, or',
      'run `claudemesh daemon remint` to mint a new keypair (Sprint 7+).',
    ];
    throw new MeshRefusal(lines.join('\n'), exitCodes.otherHost);
  }
  if (policy === 'warn') {
    log.plain(`WARN: ${mismatch} (continuing per [clone] policy=warn)`);
  }
}
