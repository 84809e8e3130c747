/** What becomes of instructions on disk, on every system: the file is torn, long, or written anew. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type InstructionEntry, InstructionLog } from '../../../src/doors/agent/instruction-log.ts';
import { temporaryFolder } from '../../platform/machine.ts';

const line = (entry: InstructionEntry): string => `${JSON.stringify(entry)}\n`;
const entryOf = (id: string, state: InstructionEntry['state']): InstructionEntry => ({ id, sessionId: 's', state });

export function instructionLogContract(): void {
  test('a line that a crash has torn takes neither those before it nor those after it with it', async () => {
    const path = join(temporaryFolder(), 'instructions.ndjson');
    writeFileSync(path, line(entryOf('a', 'begun')) + line(entryOf('a', 'done')));
    appendFileSync(path, '{"id":"b","sessionId":"s","sta');
    const log = await InstructionLog.open(path);
    await log.write(entryOf('c', 'begun'));
    await log.close();
    const next = await InstructionLog.open(path);
    expect(['a', 'b', 'c'].map((id) => next.get(id)?.state)).toEqual(['done', undefined, 'begun']);
    await next.close();
  });

  test('of very many instructions the newest 10000 are remembered, and the file is written anew', async () => {
    const path = join(temporaryFolder(), 'instructions.ndjson');
    const lines = Array.from({ length: 30_001 }, (_, at) => line(entryOf(`i${at}`, 'done')));
    writeFileSync(path, lines.join(''));
    const log = await InstructionLog.open(path);
    await log.write(entryOf('last', 'begun'));
    await log.write(entryOf('last', 'done'));
    await log.close();
    const written = readFileSync(path, 'utf8').split('\n');
    expect(written.length).toBeLessThan(10_010);
    const next = await InstructionLog.open(path);
    expect(['i0', 'i20001', 'i20002', 'i30000', 'last'].map((id) => next.get(id)?.state)).toEqual([
      ...[undefined, undefined, 'done', 'done', 'done'],
    ]);
    await next.close();
  });
}
