/**
 * The conformance cases, played through the daemon's pipe from inside Windows: every case that applies, in all
 * generations. Which do not, and why, stands in conformance/not-here.ts and docs/windows.md.
 */
import { mkdtempSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { removeFolder } from '../support/remove-folder.ts';
import { type Case, generations, isOf, readCases } from './conformance/cases.ts';
import { Connection } from './conformance/connection.ts';
import { layOut } from './conformance/lay-out.ts';
import { whyNotHere } from './conformance/not-here.ts';
import { fixedNames, Player } from './conformance/player.ts';
import { Scope } from './conformance/templates.ts';
import { writeTools } from './conformance/tools.ts';
import { type DaemonOptions, WindowsDaemon } from './daemon.ts';

/** A daemon start and a slow program, each under Wine. */
const caseTimeoutMs = 120_000;

interface Running {
  readonly daemon: WindowsDaemon;
  readonly features: ReadonlySet<string>;
  readonly port: number;
}

const profiles = { S: 'S', N: 'current', N2: 'latest' } as const;

const base = realpathSync(mkdtempSync(join(tmpdir(), 'hfc-')));
const tools = join(base, 'tools');

beforeAll(() => writeTools(tools));
afterAll(() => removeFolder(base));

describe.each(generations)('generation %s', (generation) => {
  const shared = new Map<string, Promise<Running>>();
  const commonFolders = new Map<string, string>();

  afterAll(async () => {
    for (const running of shared.values()) {
      await (await running).daemon.stop();
    }
  }, caseTimeoutMs);

  async function start(one: Case, folder: string): Promise<Running> {
    const port = await freePort();
    const spec = one.daemon ?? {};
    let names: Record<string, string> = {};
    const expand = (text: string) => Buffer.from(new Scope(names, new Set()).expand(text), 'latin1').toString();
    const options: { -readonly [K in keyof DaemonOptions]: DaemonOptions[K] } = {
      profile: profiles[generation],
      ...(spec.token_via === undefined ? {} : { tokenVia: spec.token_via }),
    };
    const daemon = new WindowsDaemon(options);
    names = fixedNames(daemon, folder, port);
    daemon.env.PATH = `${tools};${process.env.PATH}`;
    for (const [name, value] of Object.entries(spec.env ?? {})) {
      // The home folder has another variable here (spec platform.md §1).
      const variable = name === 'HOME' ? 'USERPROFILE' : name;
      if (value === null) {
        delete daemon.env[variable];
      } else {
        daemon.env[variable] = expand(value);
      }
    }
    options.flags = (spec.flags ?? []).map(expand);
    if (spec.token_text !== undefined) {
      options.tokenText = new Scope(names, new Set()).expand(spec.token_text);
    }
    for (const step of one.before_start ?? []) {
      layOut(step, new Scope(names, new Set()));
    }
    await daemon.start();
    return { daemon, port, features: await featuresOf(daemon) };
  }

  async function daemonFor(one: Case, folder: string): Promise<Running> {
    const key = JSON.stringify(one.daemon ?? {});
    let running = shared.get(key);
    if (running === undefined || !(await (await running).daemon.answers())) {
      running = start(one, folder);
      shared.set(key, running);
      // A start that has failed is this case's failure; the next one starts again.
      running.catch(() => shared.delete(key));
    }
    return running;
  }

  /** Cases whose daemon is told of their folder have one folder together, so that they can have one daemon. */
  function folderOf(one: Case, isPrivate: boolean): string {
    const key = JSON.stringify(one.daemon ?? {});
    // Where managed settings would lie does not matter: none are read here (spec generation-n2.md §3.2).
    const hasCommon = !isPrivate && one.area !== 'n2' && key.includes('{{TMP}}');
    const folder = (hasCommon ? commonFolders.get(key) : undefined) ?? mkdtempSync(join(base, 'c'));
    if (hasCommon) {
      commonFolders.set(key, folder);
    }
    return folder;
  }

  async function play(one: Case): Promise<void> {
    const isPrivate = one.private === true || /token_text|token_via/.test(JSON.stringify(one.daemon ?? {}));
    const folder = folderOf(one, isPrivate);
    const running = isPrivate ? await start(one, folder) : await daemonFor(one, folder);
    const { daemon, features, port } = running;
    const player = new Player(one, daemon, fixedNames(daemon, folder, port), features);
    try {
      await player.play();
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${daemon.log().slice(-2_000)}`, { cause: error });
    } finally {
      player.close();
      if (isPrivate) {
        await daemon.stop();
      }
    }
  }

  for (const one of readCases()) {
    if (!isOf(one, generation) || whyNotHere(one, generation) !== undefined) {
      continue;
    }
    test(`${one.area}: ${one.name}`, () => play(one), caseTimeoutMs);
  }
});

async function featuresOf(daemon: WindowsDaemon): Promise<ReadonlySet<string>> {
  const connection = await Connection.open('probe', daemon.socketPath);
  await connection.send(`{"jsonrpc":"2.0","id":1,"method":"server.capabilities","auth":"${daemon.token}"}\n`);
  const frame = await connection.take(({ key }) => key === 'reply 1', 10_000, 'server.capabilities');
  connection.close();
  const { result } = JSON.parse(frame.raw) as { result?: { features?: string[] } };
  return new Set(result?.features);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
