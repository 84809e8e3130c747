import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog, type Level, type Log, levelNamed } from '../../src/base/log.ts';
import { printable } from '../../src/base/printable.ts';

function captured(level: Level = 'debug'): { log: Log; text: () => string } {
  const chunks: Buffer[] = [];
  const write = (bytes: Buffer) => {
    chunks.push(Buffer.from(bytes));
    return bytes.length;
  };
  return { log: createLog({ level, write }), text: () => Buffer.concat(chunks).toString() };
}

describe('a line', () => {
  test('has local time, a level of five letters and the component', () => {
    const { log, text } = captured();
    const before = new Date();
    log.info('Server', 'New connection from: @');
    log.debug('daemon', 'a');
    log.warn('frameSink', 'b');
    log.error('shellenv', 'c');
    const lines = text().split('\n');
    expect(lines.map((line) => line.slice(20))).toEqual([
      'INFO  [Server] New connection from: @',
      'DEBUG [daemon] a',
      'WARN  [frameSink] b',
      'ERROR [shellenv] c',
      '',
    ]);
    const [, year, month, day, hours, minutes, seconds] = (
      /^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d) /.exec(text()) ?? []
    ).map(Number);
    const stamped = new Date(year as number, (month as number) - 1, day, hours, minutes, seconds).getTime();
    expect(stamped).toBeGreaterThanOrEqual(before.getTime() - 1000);
    expect(stamped).toBeLessThanOrEqual(Date.now());
  });

  test('without time and level is for the banner and the reasons of a failed start, at every threshold', () => {
    const { log, text } = captured('error');
    log.raw('Claustrum remote server listening on /s');
    expect(text()).toBe('Claustrum remote server listening on /s\n');
  });

  test('below the threshold is not written', () => {
    const { log, text } = captured('warn');
    log.debug('Server', 'a');
    log.info('Server', 'b');
    log.warn('Server', 'c');
    log.error('Server', 'd');
    expect(text().match(/\w+ +\[/g)).toEqual(['WARN  [', 'ERROR [']);
  });

  test.each([
    [undefined, 'debug'],
    ['', 'debug'],
    ['loud', 'debug'],
    ['toString', 'debug'],
    [' Info\n', 'info'],
    ['WARN', 'warn'],
    ['warning', 'warn'],
    ['error', 'error'],
  ])('CLAUSTRUM_LOG_LEVEL %j means %s', (word, level) => {
    expect(levelNamed(word)).toBe(level);
  });
});

describe('what a client chose', () => {
  test('cannot forge a line, drive the terminal or turn the text around', () => {
    const { log, text } = captured();
    log.info(
      'process.Manager',
      'Process a\n2026/01/01 00:00:00 ERROR [Server] forged\r\u001b]0;x\u0007\u009b1m\u202eb\u2028c started',
    );
    expect(text().split('\n')).toHaveLength(2);
    expect(text().slice(0, -1)).toMatch(/^[\x20-\x7e]*$/);
    expect(text()).toContain(
      'Process a\\x0a2026/01/01 00:00:00 ERROR [Server] forged\\x0d\\x1b]0;x\\x07\\x9b1m\\u{202e}b\\u{2028}c started\n',
    );
  });

  test('stays as it is when it is plain, in whatever script', () => {
    for (const text of ['C:\\Users\\ü', '日本語 עברית 👩‍🚀', 'a\\x0a"b"']) {
      expect(printable(text)).toBe(text);
    }
  });

  test('is cut when it is long, and the cut names the length', () => {
    const { log, text } = captured();
    log.info('Server', 'x'.repeat(1_000_000));
    expect(text().length).toBeLessThan(4200);
    expect(text()).toMatch(/x… \(1000035 characters\)\n$/);
  });

  test('never leaves anything a terminal obeys, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.nat(300), (text, limit) => {
        const shown = printable(text, limit);
        expect(shown).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
        expect(printable(shown, Number.POSITIVE_INFINITY)).toBe(shown);
      }),
    );
  });
});

describe('a secret', () => {
  const canary = 'cAnArY-"token"\\\u001b-5b2d';

  test('is not shown in any line, plain or inside JSON', () => {
    const { log, text } = captured();
    log.redact(canary);
    log.warn('Server', `request ${JSON.stringify({ auth: canary, id: 1 })} from ${canary}`);
    log.raw(`claustrum: ${canary}`);
    expect(text()).not.toContain('cAnArY');
    expect(text()).not.toContain('5b2d');
    expect(text()).toContain('request {"auth":"[redacted]","id":1} from [redacted]\n');
  });

  test('is not shown in part where a long line is cut through it', () => {
    const { log, text } = captured();
    log.redact(canary);
    for (let pad = 4040; pad < 4096; pad++) {
      log.raw('x'.repeat(pad) + canary);
    }
    expect(text()).not.toContain('cAn');
  });

  test('that is part of another one does not uncover the rest of it', () => {
    const { log, text } = captured();
    log.redact('token');
    log.redact('token-and-more');
    log.raw('a token-and-more b token c');
    expect(text()).toBe('a [redacted] b [redacted] c\n');
  });

  test('that is empty or tiny does not make the log unreadable', () => {
    const { log, text } = captured();
    log.redact('');
    log.redact('e');
    log.raw('everything else');
    expect(text()).toBe('everything else\n');
  });

  test('is hidden from the texts of other writers too', () => {
    const { log } = captured();
    log.redact(canary);
    expect(log.secrets.hide(`{"auth":${JSON.stringify(canary)}}`)).toBe('{"auth":"[redacted]"}');
  });
});

describe('a log that cannot be written', () => {
  test.each(['ENOSPC', 'EPIPE', 'EBADF', 'EAGAIN', 'EIO'])('because of %s costs lines, never the daemon', (code) => {
    let broken = true;
    const lines: string[] = [];
    const log = createLog({
      level: 'debug',
      write(bytes) {
        if (broken) {
          throw Object.assign(new Error(code), { code });
        }
        lines.push(bytes.toString());
        return bytes.length;
      },
    });
    log.raw('lost');
    log.info('Server', 'lost too');
    expect(log.droppedLines).toBe(2);
    broken = false;
    log.raw('back again');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(new RegExp(`WARN  \\[daemon\\] 2 log line\\(s\\) were lost: ${code}\\n$`));
    expect(lines[1]).toBe('back again\n');
    expect(log.droppedLines).toBe(2);
  });

  test('in the middle of a line starts the next one on a line of its own', () => {
    let room = 7;
    const disk: string[] = [];
    const log = createLog({
      level: 'debug',
      write(bytes) {
        if (room === 0) {
          throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
        }
        const taken = bytes.subarray(0, room);
        room -= taken.length;
        disk.push(taken.toString());
        return taken.length;
      },
    });
    log.raw('cut in two');
    log.raw('lost');
    room = 1000;
    log.raw('whole');
    expect(disk.join('')).toMatch(/^cut in \n[^\n]+ 2 log line\(s\) were lost: ENOSPC\nwhole\n$/);
    expect(log.droppedLines).toBe(2);
  });

  test('leaves a process alive whose stderr is closed or a full device', async () => {
    const script = join(import.meta.dirname, '..', 'fixtures', 'log-a-line.ts');
    for (const redirect of ['2>&-', ...(process.platform === 'linux' ? ['2>/dev/full'] : [])]) {
      const child = spawn('sh', ['-c', `exec "$1" "$2" ${redirect}`, 'sh', process.execPath, script]);
      const output: Buffer[] = [];
      child.stdout.on('data', (bytes) => output.push(bytes));
      const [code] = await once(child, 'close');
      expect(code).toBe(0);
      expect(Buffer.concat(output).toString()).toMatch(/^alive, dropped [01]\n$/);
    }
  });
});
