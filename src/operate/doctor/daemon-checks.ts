/** Checks of the daemon at the socket, and of what a dead one has left. */

import { existsSync } from 'node:fs';
import { messageOf } from '../../base/error-texts.ts';
import { version } from '../../base/version.ts';
import { recordFolderName } from '../../run-directory/names.ts';
import { maxRecordBytes, parseRecord } from '../../run-directory/records/record.ts';
import { bad, type Check, ok, warn } from './check.ts';

export const checkDaemon: Check = ({ daemon, socketPath }) => {
  const check = 'daemon';
  switch (daemon.state) {
    case 'none':
      return ok(check, `none runs at ${socketPath}`);
    case 'silent':
      return bad(
        check,
        `${socketPath}: ${daemon.reason}`,
        'look at the end of its log; holdfast -stop ends one that hangs',
      );
    case 'answers':
      return ok(check, `answers at ${socketPath}`);
  }
};

export const checkVersions: Check = ({ daemon }) => {
  const check = 'versions';
  if (daemon.state !== 'answers') {
    return ok(check, `this program is ${version}`);
  }
  const { version: other, keeperVersion = version, durable } = daemon;
  const seen = `program ${version}, daemon ${other}${durable ? `, keeper ${keeperVersion}` : ''}`;
  if (other !== version) {
    return warn(
      check,
      seen,
      'restart the daemon with this program: holdfast -stop, then -serve (with -durable sessions stay)',
    );
  }
  return keeperVersion === version
    ? ok(check, seen)
    : warn(check, seen, 'the keeper changes with the next start at which no session runs');
};

/** Children that a dead daemon has recorded, and that still run. */
export const checkOrphans: Check = ({ platform: { childMarkers: markers }, runDirectory, daemon }) => {
  const check = 'orphans';
  if (markers === undefined) {
    return ok(check, 'children end with their daemon on this system');
  }
  if (daemon.state !== 'none') {
    return ok(check, 'the daemon has its children');
  }
  if (!existsSync(runDirectory)) {
    return ok(check, 'no records of children');
  }
  let folder: ReturnType<typeof markers.openRecords>;
  try {
    folder = markers.openRecords(runDirectory, recordFolderName, { create: false });
  } catch (error) {
    return warn(check, messageOf(error), 'the next start says more in its log');
  }
  if (typeof folder !== 'object') {
    return ok(check, 'no records of children');
  }
  try {
    const left = [...folder.names()].flatMap((name) => {
      const text = folder.read(name, maxRecordBytes);
      const record = text === undefined ? undefined : parseRecord(name, text);
      return record !== undefined && markers.startOf(record.pid) === record.start ? [record.pid] : [];
    });
    return left.length === 0
      ? ok(check, 'none')
      : bad(
          check,
          `${left.length} processes of a dead daemon still run: pid ${left.join(', ')}`,
          'holdfast reconcile shows them, and ends them with --kill; so does the next start of the daemon',
        );
  } finally {
    folder.close();
  }
};
