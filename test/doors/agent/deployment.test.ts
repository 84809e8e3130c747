/** The recipes of docs/agent.md, as far as they can be checked without Docker and without root's systemd. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { installed, testNeeding } from '../../support/needs.ts';
import { pidNamespaces, pidNamespaceWords } from '../../support/pid-namespace.ts';
import { allProcesses } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestAgent } from './test-agent.ts';

const page = readFileSync(new URL('../../../docs/agent.md', import.meta.url), 'utf8');
const root = new URL('../../../', import.meta.url);

function block(language: string): string {
  const [, text] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(page) ?? [];
  return text ?? '';
}

describe('the recipes', () => {
  testNeeding(installed('systemd-analyze', 'systemd'))('systemd accepts the unit', {}, () => {
    const folder = mkdtempSync(join(tmpdir(), 'hfu-'));
    try {
      const unit = join(folder, 'claudios-agent.service');
      // The user of the recipe is one that the reader makes.
      writeFileSync(unit, block('ini').replace('User=claudios', 'User=root'));
      execFileSync('systemd-analyze', ['verify', unit], { stdio: 'pipe' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('the unit has what the page of the contract gives', () => {
    for (const line of ['Type=simple', 'Restart=always', 'RestartSec=10', 'TimeoutStopSec=30', 'KillMode=mixed']) {
      expect(block('ini').split('\n')).toContain(line);
    }
  });

  test('the Dockerfile copies what there is, runs as a user, and starts a program that there is', () => {
    const lines = readFileSync(new URL('Dockerfile', root), 'utf8').trim().split('\n');
    const orders = lines.filter((line) => !line.startsWith('#')).map((line) => line.split(' '));
    const words = orders.map(([word]) => word);
    expect(words[0]).toBe('FROM');
    expect(words.lastIndexOf('USER')).toBeGreaterThan(words.lastIndexOf('RUN'));
    expect(
      words.every((word) => /^(FROM|RUN|COPY|WORKDIR|USER|ENV|VOLUME|STOPSIGNAL|ENTRYPOINT)$/.test(word ?? '')),
    ).toBe(true);
    const [entry = ''] = JSON.parse(lines.at(-1)?.replace('ENTRYPOINT ', '') ?? '') as string[];
    expect(existsSync(new URL(entry.replace('/opt/holdfast/', ''), root))).toBe(true);
    // The version of the image's Node.js is one that the source runs on, and the state lies on the volume.
    expect(Number(/^node:(\d+)-/.exec(orders[0]?.[1] ?? '')?.[1])).toBeGreaterThanOrEqual(24);
    const state = orders.find(([word]) => word === 'VOLUME')?.[1];
    expect(orders.find(([word]) => word === 'ENV')).toContain(`STATE_DIR=${state}`);
    // Everything the program runs on is in the context of the build, and nothing else.
    const context = readFileSync(new URL('.dockerignore', root), 'utf8').split('\n');
    for (const name of ['bin', 'src', 'platform', 'native-bindings', 'runtime', 'package.json', 'package-lock.json']) {
      expect(context).toContain(`!${name}`);
      expect(existsSync(new URL(name, root))).toBe(true);
    }
    expect(context).toContain('*');
  });

  testNeeding(pidNamespaces())(
    'as process 1 of a container it collects what nobody else does, and a signal stops it as anywhere',
    { timeout: 180_000 },
    async () => {
      const command = ['unshare', ...pidNamespaceWords, fileURLToPath(new URL('bin/claudios-agent', root))];
      await using agent = await TestAgent.start({ command });
      const { server } = agent;
      const [first] = agent.processes().filter(({ parent }) => parent === agent.pid);
      const zombies = () => allProcesses().filter(({ parent, state }) => parent === first?.pid && state === 'Z');
      expect(first).toBeDefined();
      server.order('start', 'start_session', 's');
      server.order('orphan', 'command', 's', { command: "run sh -c '(sleep 0.2; echo orphan over) &'" });
      await agent.output('s', 'orphan over\n');
      server.order('next', 'command', 's', { command: 'next' });
      await agent.output('s', 'got: next\n');
      await waitUntil(() => zombies().length === 0, 'the orphan to be collected');
      process.kill(first?.pid ?? 0, 'SIGTERM');
      expect(await agent.ended()).toBe(0);
      expect(server.statuses.at(-1)?.status).toBe('offline');
      expect(await agent.exit('s')).toMatchObject({ stream: 'exit' });
    },
  );
});
