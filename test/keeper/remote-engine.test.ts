/** The engine whose sessions live behind a channel keeps what every engine promises. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { timings } from '../../src/base/timings.ts';
import { Channel } from '../../src/keeper/channel/channel.ts';
import { channelVersions } from '../../src/keeper/channel/messages.ts';
import { Keeper } from '../../src/keeper/host/keeper.ts';
import { RemoteEngine } from '../../src/keeper/remote/remote-engine.ts';
import { sessionEngineContract } from '../engine/session-engine.contract.ts';

const platform = await loadPlatform();

sessionEngineContract(async ({ profile, timings: changes, slowReader, shellPath, memoryBudget }) => {
  const directory = mkdtempSync('/tmp/hf-');
  const path = join(directory, 's');
  const keeper = new Keeper({
    ...{ platform, timings: { ...timings, ...changes }, socketPath: path },
    onUnused: () => {},
  });
  const server = createServer((socket) => {
    server.close();
    keeper.serve(new Channel(socket, platform.transport.sendNow), channelVersions[1]);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const engine = new RemoteEngine({
    settings: {
      ...{ process: profile.process, platform: profile.platform, slowReader, pieceBytes: 256 * 1024 },
      ...{ environment: platform.startedWith.environment(), workingDirectory: process.cwd() },
      ...{ markedFor: undefined, sessionMarks: undefined, unseenRetentionMs: undefined, memoryBudget },
    },
    log: createLog({ level: 'error' }),
    counters: createCounters(),
    shellPath: { value: undefined, wait: () => shellPath ?? Promise.resolve() },
    shellAgent: undefined,
    sharedMemory: platform.sharedMemory,
    wantsChannel: () => {},
    channelEnded: () => {},
  });
  const channel = new Channel(connect(path), platform.transport.sendNow);
  onTestFinished(() => {
    channel.close('the test is over');
    rmSync(directory, { recursive: true });
  });
  await engine.connected(channel, process.pid);
  return engine;
});
