/** Yardstick of the mesh door: node:http and one insert for each request, under the rules of the outbox (`bare-send-server.ts <socket> <database>`). */
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { createServer } from 'node:http';
import { DatabaseSync } from 'node:sqlite';

const [socket, file = ''] = process.argv.slice(2);
const database = new DatabaseSync(file);
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec(
  'CREATE TABLE sends (id TEXT PRIMARY KEY, message_key TEXT NOT NULL UNIQUE, payload BLOB NOT NULL, at INTEGER)',
);
const insert = database.prepare('INSERT INTO sends VALUES (?, ?, ?, ?)');

createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    const { client_message_id, message } = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, string>;
    insert.run(randomUUID(), client_message_id ?? '', Buffer.from(message ?? ''), Date.now());
    const text = JSON.stringify({ client_message_id, status: 'queued' });
    response.writeHead(202, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  });
}).listen(`${socket}.new`, () => {
  // Whoever waits for the name finds a server that listens.
  renameSync(`${socket}.new`, socket ?? '');
});
