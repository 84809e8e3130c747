/** One request over HTTP. */
import { connect } from 'node:net';

/** By hand: `fetch` sets socket options that Wine 8 refuses on a connection that is not there yet. */
export async function httpGet(host: string, port: number, path: string): Promise<string> {
  let text = '';
  const socket = connect(port, host, () => socket.write(`GET ${path} HTTP/1.0\r\n\r\n`));
  for await (const piece of socket) {
    text += String(piece);
  }
  return text;
}
