/**
 * The host of docs/operators.md: an agent that waits, a build that writes, tests that have failed, and `holdfast` as users call it.
 * What it shows is in the page; `npm run build:screens` takes it again, and test/documentation.test.ts compares.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';

const request = {
  ...{ type: 'control_request', request_id: '3f2a1c9e' },
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make install' } },
};

export class OperatorsScene implements AsyncDisposable {
  readonly env: NodeJS.ProcessEnv;
  /** Working folder of the commands. */
  readonly folder: string;
  readonly #daemon: TestDaemon;

  private constructor(daemon: TestDaemon, folder: string, bin: string) {
    this.#daemon = daemon;
    this.folder = folder;
    // The daemons of other tests of this user are none of this page's business.
    const own = `#!/bin/sh\nverb=$1; shift\ncase $verb in config|completion|help) exec ${program} "$verb" "$@";; esac\nexec ${program} "$verb" --socket ${daemon.socket} "$@"\n`;
    writeFileSync(join(bin, 'holdfast'), own, { mode: 0o755 });
    writeFileSync(join(bin, 'ssh'), '#!/bin/sh\nshift\nexec sh -c "$*"\n', { mode: 0o755 });
    writeFileSync(join(folder, 'holdfast.conf'), 'wire-profil = next\ndetached-ttl = 12h\n');
    this.env = { ...daemon.env, COLUMNS: '80', LC_ALL: 'C.UTF-8' };
  }

  static async start(): Promise<OperatorsScene> {
    const folder = mkdtempSync('/tmp/hf-');
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const [node, [agent = '', ...words]] = fixture('asking-agent.ts', '', JSON.stringify(request));
    const claude = [node, agent, ...words].map((word) => `'${word}'`).join(' ');
    writeFileSync(join(bin, 'claude'), `#!/bin/sh\nexec ${claude}\n`, { mode: 0o755 });
    const daemon = await startDaemon({ env: { PATH: [bin, process.env.PATH].join(delimiter) } });
    const scene = new OperatorsScene(daemon, folder, bin);
    await using host = await connectTo(daemon);
    await host.spawn({ id: 'agent', command: 'claude', args: ['--input-format', 'stream-json'] });
    await host.spawn({ id: 'build', command: 'sh', args: ['-c', 'while sleep 1; do echo compiling; done'] });
    const tests = await host.spawn({ id: 'tests', command: 'sh', args: ['-c', 'echo 2 tests failed >&2; exit 3'] });
    await tests.exit;
    await waitUntil(
      async () => (await host.sessions()).every(({ outBytes, errBytes }) => outBytes + errBytes > 0) || undefined,
      'every session to have written',
    );
    return scene;
  }

  /** What stands on the screen afterwards: both outputs, without the folders of this scene. */
  run(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn('sh', ['-c', `${line} 2>&1`], { cwd: this.folder, env: this.env });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      child.on('error', reject);
      child.on('close', () => resolve(this.withoutFolders(output)));
    });
  }

  withoutFolders(text: string): string {
    return text.replaceAll(this.#daemon.runDir, '/home/ann/.claude/remote');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
    await removeFolder(this.folder);
  }
}

/** A command of the page and what it shows. */
export interface Screen {
  readonly command: string;
  readonly shown: string;
}

/** The blocks of a page in which a command stands behind `$ `. */
export function screensOf(page: string): readonly Screen[] {
  return [...page.matchAll(/^```console taken\n\$ (.*)\n([\s\S]*?)^```$/gm)].map(([, command = '', shown = '']) => ({
    command,
    shown,
  }));
}

/**
 * A screen without what is another each time: numbers, ages, bars, and blanks between columns. Of a line that was cut only the
 * first words stay, because it is cut where the numbers before leave room.
 */
export function lasting(shown: string): string {
  return shown
    .replace(/\d{4}\/\d\d\/\d\d [\d:]+/g, 'TIME')
    .replace(/\d{4}-\d\d-\d\d[T ][\d:.]+Z?/g, 'TIME')
    .replace(/[▁▂▃▄▅▆▇█]/g, ' ')
    .replace(/\b\d[\d.]*[smhdKMGT%]?(?=\s|[),;:]|$)/gm, 'N')
    .split('\n')
    .map((line) => {
      const words = line.split(/[ \t]+/).filter((word) => word !== '');
      return (line.includes('…') ? words.slice(0, 3) : words).join(' ');
    })
    .join('\n')
    .trim();
}
