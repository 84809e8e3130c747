/** Connections of the library to a test's daemon, straight or through the fault proxy. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type ConnectOptions, connect, type Host } from '../../src/client/index.ts';
import { type FaultProxy, type ProxyOptions, startFaultProxy } from '../tools/fault-proxy.ts';
import type { TestDaemon } from './daemon.ts';

/** Pauses short enough for a test that cuts often. */
export const quick = { retry: { firstMs: 5, maxMs: 50 } } as const satisfies ConnectOptions;

export function connectTo(daemon: TestDaemon, options: ConnectOptions = {}): Promise<Host> {
  return connect({ socket: daemon.socket, token: daemon.token, ...quick, ...options });
}

export function proxyTo(
  daemon: TestDaemon,
  rules: Pick<ProxyOptions, 'toTarget' | 'toClient'> = {},
): Promise<FaultProxy> {
  return startFaultProxy({ listen: join(daemon.dir, 'proxy.sock'), target: daemon.socket, ...rules });
}

export interface Collected {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads a stream to its end, and keeps figures of it only. */
export async function collect(stream: ReadableStream<Uint8Array>): Promise<Collected> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

export async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Reads until exactly this text has come, and leaves the stream open. */
export async function untilText(stream: ReadableStream<Uint8Array>, expected: string): Promise<void> {
  const reader = stream.getReader();
  let text = '';
  while (text !== expected) {
    const { value, done } = await reader.read();
    text += Buffer.from(value ?? []).toString();
    if (done || !expected.startsWith(text)) {
      throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(text)}${done ? ' and the end' : ''}`);
    }
  }
  reader.releaseLock();
}
