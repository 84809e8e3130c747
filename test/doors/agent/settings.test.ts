import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import { connect } from '../../../src/client/index.ts';
import { readSettings } from '../../../src/doors/agent/settings.ts';
import { cleanEnvironment, runHoldfast } from '../../support/holdfast.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hfa-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const { trust } = await loadPlatform();
const mayOthersRead = (path: string): boolean => trust.mayOthersRead(path);

const enough = { serverUrl: 'https://server.example', agentToken: 'agt_0123456789' };

function write(value: unknown, name = 'config.json'): string {
  const path = join(folder, name);
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o600 });
  return path;
}

function read(environment: NodeJS.ProcessEnv = {}, file?: string) {
  return readSettings({ file, environment, workingFolder: folder, mayOthersRead, home: '/home/somebody' });
}

function agent(words: readonly string[], env: Record<string, string> = {}) {
  return runHoldfast(['agent', ...words], { env: cleanEnvironment(folder, env), cwd: folder });
}

describe('what a user gets to see of settings', () => {
  test('1: without any: exit 1, and a line for each that is required', async () => {
    const { code, stdout, stderr } = await agent([]);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr:
        '[ERROR] Invalid configuration: serverUrl is required\n[ERROR] Invalid configuration: agentToken is required\n',
    });
  });

  test('1: POLL_INTERVAL=abc: exit 1, and the range', async () => {
    write(enough);
    const { code, stderr } = await agent([], { POLL_INTERVAL: 'abc' });
    expect(code).toBe(1);
    expect(stderr).toBe('[ERROR] Invalid configuration: pollInterval must be an integer between 100 and 3600000\n');
  });

  test('2: --version and --help work beside a file that cannot be used', async () => {
    write('{');
    for (const word of ['--version', '-V']) {
      expect(await agent([word])).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
        stderr: '',
      });
    }
    for (const word of ['--help', '-h']) {
      const { code, stdout } = await agent([word]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/pollInterval +POLL_INTERVAL +5000 ms/);
      expect(stdout).toMatch(/--config.*--help.*--version/s);
    }
  });

  test('2: an unknown option: exit 2', async () => {
    expect(await agent(['--frob'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'Unknown option: --frob\nTry --help\n',
    });
    expect(await agent(['--config'])).toMatchObject({ code: 2, stderr: 'Option --config needs a file\nTry --help\n' });
  });

  test('a named file that is missing: exit 1', async () => {
    expect(await agent(['--config', '/x/config.json'])).toMatchObject({
      code: 1,
      stderr: '[ERROR] Cannot read configuration file /x/config.json: no such file\n',
    });
  });

  test('bin/claudios-agent is the same program', async () => {
    const { program } = await import('../../support/holdfast.ts');
    const { code, stdout } = await runHoldfast(['--version'], {
      env: cleanEnvironment(folder),
      cwd: folder,
      program: join(program, '..', 'claudios-agent'),
    });
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});

describe('settings', () => {
  test('have the defaults of the page', () => {
    write(enough);
    expect(read().settings).toEqual({
      ...enough,
      pollInterval: 5000,
      outputFlushInterval: 1000,
      maxConcurrentSessions: 5,
      statusInterval: 30_000,
      claudeCommand: 'claude',
      claudeArgs: ['--print', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'],
      inputFormat: 'stream-json',
      allowedRoots: [folder],
      spoolBytes: 268_435_456,
      socket: '/home/somebody/.local/state/claudios-agent/run/rpc.sock',
      onStop: 'terminate',
      stateDir: '/home/somebody/.local/state/claudios-agent',
      logLevel: 'info',
    });
  });

  test('come from the environment before the file, key by key', () => {
    write({ ...enough, pollInterval: 5000, statusInterval: 9000 });
    const environment = { POLL_INTERVAL: '700', ALLOWED_ROOTS: '/a:/b', XDG_STATE_HOME: '/state' };
    expect(read(environment)).toMatchObject({
      faults: [],
      warnings: [],
      source: 'config.json',
      settings: {
        pollInterval: 700,
        statusInterval: 9000,
        allowedRoots: ['/a', '/b'],
        stateDir: '/state/claudios-agent',
      },
    });
  });

  test('come from the environment alone where there is no file', () => {
    expect(read({ SERVER_URL: enough.serverUrl, AGENT_TOKEN: enough.agentToken })).toMatchObject({
      faults: [],
      source: 'environment',
    });
  });

  test.each([
    ['http://localhost:3000/', 'http://localhost:3000'],
    ['https://server.example/prefix//', 'https://server.example/prefix'],
  ])('the URL %s is %s', (serverUrl, kept) => {
    write({ ...enough, serverUrl });
    expect(read().settings?.serverUrl).toBe(kept);
  });

  test.each([
    ['serverUrl', 'ftp://server', 'must be an http or https URL'],
    ['serverUrl', 'https://user:secret@server', 'must be an http or https URL without user, query and fragment'],
    ['serverUrl', 17, 'must be an http or https URL'],
    ['agentToken', 'short', 'must be 8 to 512 printable ASCII characters without space'],
    ['agentToken', 'with a space', 'must be 8 to 512 printable ASCII characters without space'],
    ['agentToken', 'x'.repeat(513), 'must be 8 to 512 printable ASCII characters without space'],
    ['pollInterval', 99, 'must be an integer between 100 and 3600000'],
    ['pollInterval', 100.5, 'must be an integer between 100 and 3600000'],
    ['pollInterval', true, 'must be an integer between 100 and 3600000'],
    ['outputFlushInterval', 60_001, 'must be an integer between 10 and 60000'],
    ['maxConcurrentSessions', 0, 'must be an integer between 1 and 100'],
    ['statusInterval', 999, 'must be an integer between 1000 and 3600000'],
    ['claudeArgs', 'x', 'must be a list of strings'],
    ['inputFormat', 'xml', 'must be stream-json or text'],
    ['allowedRoots', ['relative'], 'must be absolute folders'],
    ['spoolBytes', 16_777_215, 'must be an integer between 16777216 and 1099511627776'],
    ['onStop', 'perhaps', 'must be terminate or keep'],
    ['stateDir', 'relative', 'must be an absolute path'],
    ['logLevel', 'loud', 'must be debug, info, warn or error'],
  ])('%s = %j is refused', (name, value, text) => {
    write({ ...enough, [name]: value });
    expect(read()).toMatchObject({ settings: undefined, faults: [`Invalid configuration: ${name} ${text}`] });
  });

  test.each([
    ['{', /^Configuration file config.json is not valid JSON: /],
    ['[]', /^Configuration file config.json is not valid JSON: it must be one object$/],
    ['{"agentToken":"agt_secret_value",]', /^Configuration file config.json is not valid JSON: (?!.*secret)/],
  ])(
    'a file with %s is refused, without showing what is in it, and nothing else is said to be missing',
    (text, fault) => {
      write(text);
      expect(read().faults).toEqual([expect.stringMatching(fault)]);
    },
  );

  test('of a token with a line end inside only that is told, and not the token', () => {
    expect(read({ SERVER_URL: enough.serverUrl, AGENT_TOKEN: 'agt_0123\n456789' }).faults).toEqual([
      'Invalid configuration: agentToken must be 8 to 512 printable ASCII characters without space',
    ]);
  });

  test('a state folder that cannot be made, or whose socket has too long a path, is told with what to do', async () => {
    write({ ...enough, stateDir: '/dev/null/state' });
    expect(await agent([])).toMatchObject({
      code: 1,
      stderr:
        '[ERROR] The state folder /dev/null/state cannot be used: mkdir /dev/null/state: not a directory; name another one in stateDir (STATE_DIR)\n',
    });
    const socket = `/tmp/${'x'.repeat(120)}`;
    await expect(connect({ socket, token: 'x' })).rejects.toThrow(
      'the path has 125 bytes, a socket allows 107 at most; choose a shorter folder',
    );
  });

  test('warn of what is strange and go on', () => {
    const path = write({
      ...enough,
      serverUrl: 'http://server.example',
      agentToken: ' agt_0123456789 ',
      pollInterval: '700',
      pollIntervall: 1,
    });
    chmodSync(path, 0o644);
    expect(read()).toMatchObject({
      faults: [],
      settings: { agentToken: 'agt_0123456789', pollInterval: 700 },
      warnings: [
        'Unknown configuration key: pollIntervall',
        'agentToken has blanks at its ends; they are cut',
        'pollInterval is a number in quotes',
        'config.json is readable by other users',
        'serverUrl is not https; the agent token travels in clear',
      ],
    });
  });

  test.each(['http://localhost:3000', 'http://127.0.0.1:1', 'http://[::1]:1'])(
    '%s is not warned about',
    (serverUrl) => {
      write({ ...enough, serverUrl });
      expect(read().warnings).toEqual([]);
    },
  );
});
