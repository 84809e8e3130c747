/** Finding marked children again, and ending their groups (spec platform.md §2 "Child markers, records, reap"). */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ChildMarkers } from '../child-markers.ts';
import { PosixHeldGroup } from './held-group.ts';
import type { Identities } from './identity.ts';
import { createEvidenceReader } from './process-evidence.ts';
import { openRecords } from './record-folder.ts';
import type { PosixSystem } from './system.ts';

export function createChildMarkers(os: PosixSystem, identities: Identities): ChildMarkers {
  const evidence = createEvidenceReader(os, identities);
  return {
    user: process.geteuid?.() ?? -1,
    host: os === 'linux' ? machineId() : hostname(),
    startOf: evidence.startOf,
    livingGroups: evidence.livingGroups,
    evidenceOf: evidence.of,
    carrying: (name, value) => evidence.carrying(name, value),
    holdGroup: (pid) => new PosixHeldGroup(pid, evidence),
    openRecords,
  };
}

/** Containers often have none. */
function machineId(): string {
  try {
    const id = readFileSync('/etc/machine-id', 'latin1').trim();
    return /^[0-9a-f]+$/.test(id) ? `machine-id:${id}` : '';
  } catch {
    return '';
  }
}
