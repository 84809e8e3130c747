/** The environment a child gets (spec process.md §3.3, modes.md §4, platform.md §2). */
import { describe, expect, test } from 'vitest';
import type { Host } from '../../platform/host.ts';
import { loadPlatform } from '../../platform/load.ts';
import { atOnce } from '../../platform/steps.ts';
import { ChildEnvironments, type EnvironmentSources } from '../../src/engine/local/environment.ts';

const posix = (await loadPlatform('linux')).host;
/** What the rules need to know of Windows. */
const windows: Host = { ...posix, variableKey: (name) => name.toLowerCase() };

function environment(
  sources: Partial<Omit<EnvironmentSources, 'wanted'>> & {
    own?: Readonly<Record<string, string>>;
    stripped?: readonly string[];
    stripsRequest?: boolean;
    wanted?: object;
  },
  host = posix,
): string[] {
  const { own = {}, stripped = [], stripsRequest = false, wanted, ...rest } = sources;
  const environments = new ChildEnvironments(Object.entries(own), { strippedVariables: stripped, stripsRequest }, host);
  const variables = environments.of({
    loginShellPath: undefined,
    agentSocket: undefined,
    throughLauncher: false,
    ...rest,
    wanted: wanted === undefined ? undefined : Object.entries(wanted),
  });
  return atOnce(variables).map(([name, value]) => `${name}=${value}`);
}

describe('a child', () => {
  test('has the variables of the daemon in their order', () => {
    expect(environment({ own: { B: '1', A: '', PATH: '/bin' } })).toEqual(['B=1', 'A=', 'PATH=/bin']);
  });

  test('has the login shell’s PATH in place of the daemon’s, or at the end', () => {
    expect(environment({ own: { A: '1', PATH: '/bin', B: '2' }, loginShellPath: '/shell' })).toEqual([
      'A=1',
      'PATH=/shell',
      'B=2',
    ]);
    expect(environment({ own: { A: '1' }, loginShellPath: '/shell' })).toEqual(['A=1', 'PATH=/shell']);
  });

  test('has what the request names: known names in place, new ones after them in the order of the request', () => {
    const own = { A: '1', PATH: '/bin', B: '2' };
    expect(environment({ own, wanted: { Z: 'z', B: 'mine', Y: '', A: '' } })).toEqual([
      'A=',
      'PATH=/bin',
      'B=mine',
      'Z=z',
      'Y=',
    ]);
  });

  test('has the PATH of the request before that of the login shell', () => {
    expect(environment({ own: { PATH: '/bin' }, loginShellPath: '/shell', wanted: { PATH: '/mine' } })).toEqual([
      'PATH=/mine',
    ]);
    expect(environment({ own: { PATH: '/bin' }, loginShellPath: '/shell', wanted: { PATH: '' } })).toEqual(['PATH=']);
  });

  test('never has a token, neither the daemon’s nor one that the request names', () => {
    const own = { A: '1', CLAUDE_RPC_TOKEN: 'secret' };
    expect(environment({ own, wanted: { CLAUDE_RPC_TOKEN: 'other', B: '2' } })).toEqual(['A=1', 'B=2']);
  });

  test('lacks what its generation keeps from children, and nothing with a similar name', () => {
    const own = { KEPT: '1', GONE: '2', GONE_TOO: '3' };
    expect(environment({ own, stripped: ['GONE'] })).toEqual(['KEPT=1', 'GONE_TOO=3']);
  });

  test('has the login shell’s agent when one was found', () => {
    expect(environment({ own: { A: '1' }, agentSocket: '/agent', wanted: { B: '2' } })).toEqual([
      'A=1',
      'B=2',
      'SSH_AUTH_SOCK=/agent',
    ]);
  });

  test('keeps names apart that differ in case, except on Windows', () => {
    const own = { Path: '/bin', claude_rpc_token: 'lower' };
    expect(environment({ own, wanted: { PATH: '/mine' } })).toEqual([
      'Path=/bin',
      'claude_rpc_token=lower',
      'PATH=/mine',
    ]);
    expect(environment({ own, wanted: { PATH: '/mine' } }, windows)).toEqual(['PATH=/mine']);
  });
});
