/** The recipes of docs/agent.md, as far as they can be checked without Docker and without root's systemd. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { installed, testNeeding } from '../../support/needs.ts';

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
    const lines = block('dockerfile').trim().split('\n');
    const instructions = lines.map((line) => line.split(' ')[0]);
    expect(instructions[0]).toBe('FROM');
    expect(instructions.indexOf('USER')).toBeGreaterThan(instructions.indexOf('RUN'));
    const entry = JSON.parse(lines.at(-1)?.replace('ENTRYPOINT ', '') ?? '') as [string];
    expect(existsSync(new URL(entry[0].replace('/opt/holdfast/', ''), root))).toBe(true);
    expect(
      instructions.every((word) => /^(FROM|RUN|COPY|WORKDIR|USER|ENV|VOLUME|STOPSIGNAL|ENTRYPOINT)$/.test(word ?? '')),
    ).toBe(true);
  });
});
