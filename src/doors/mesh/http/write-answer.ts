/** Answers are JSON with their length (spec mesh.md §4). */
import type { ServerResponse } from 'node:http';
import type { Answer } from '../answer.ts';

export function writeAnswer(response: ServerResponse, { status, body }: Answer): void {
  if (response.headersSent || response.destroyed) {
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}
