/** `holdfast run` on Windows: a program's streams and exit code, and a daemon that is started when there is none. */
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { runHoldfast, runProgram, WindowsDaemon } from './daemon.ts';

const shim = fileURLToPath(new URL('../../bin/holdfast.cmd', import.meta.url));
/** Each start is a Node under Wine. */
const slowMs = 120_000;

function prepareDaemon(): WindowsDaemon {
  const daemon = new WindowsDaemon();
  onTestFinished(() => daemon.stop());
  return daemon;
}

const script =
  "let text = ''; process.stdin.on('data', (bytes) => { text += bytes; }).on('end', () => { process.stdout.write(text.toUpperCase()); process.stderr.write('complaint'); process.exitCode = 7; });";

test(
  'run starts a daemon when there is none; streams and exit code are those of the program',
  async () => {
    const daemon = prepareDaemon();
    const words = ['run', '--socket', daemon.socketPath, '--', process.execPath, '-e', script];
    const options = { env: daemon.env, cwd: daemon.work, input: 'what was sent' };
    const expected = { code: 7, stdout: 'WHAT WAS SENT', stderr: 'complaint' };
    expect(await runHoldfast(words, options)).toEqual(expected);
    expect(await runProgram(process.env.ComSpec ?? 'cmd.exe', ['/d', '/c', shim, ...words], options)).toEqual(expected);
    expect(daemon.log().split('Claustrum remote server listening on').length).toBe(2);
    const status = await runHoldfast(['status', '--socket', daemon.socketPath], { env: daemon.env });
    expect(status.stdout).toMatch(/ {2}profile \S+ {2}0 running, 0 ended {2}not durable\r?\n$/);
    expect(await runHoldfast(['run', '--socket', daemon.socketPath, '--', 'no-such-program'], options)).toMatchObject({
      code: 127,
      stdout: '',
      stderr: expect.stringMatching(/^holdfast run: .*no-such-program.*\n$/),
    });
  },
  slowMs,
);

test(
  'a program that uses the library reaches a daemon through its pipe, and through the bridge, and starts one by words',
  async () => {
    const daemon = prepareDaemon();
    const place = { socket: daemon.socketPath, env: daemon.env, program: ['cmd.exe', '/d', '/c', shim] };
    await using host = await connect({ ...place, start: true });
    const job = await host.spawn({ command: process.execPath, args: ['-e', script] });
    await job.write('through the pipe');
    await job.end();
    let text = '';
    for await (const bytes of job.stdout) {
      text += Buffer.from(bytes).toString();
    }
    expect([text, (await job.exit).code]).toEqual(['THROUGH THE PIPE', 7]);
    await using relayed = await connect({
      command: [...place.program, '-bridge', '-socket', daemon.socketPath],
      env: daemon.env,
      tokenFile: `${daemon.runFolder}\\daemon.token`,
    });
    expect((await relayed.sessions()).map(({ id, state }) => [id, state])).toEqual([[job.id, 'exited']]);
  },
  slowMs,
);
