/**
 * The client library where `stream_client` of the yardsticks stands: starts a process, reads its output to the end, and prints
 * the seconds from the request to the last byte and how many bytes came. Twice the same: the first time warms the compiler.
 * usage: library-client.ts <socket> <token> <process id> <command> [words…]
 */
import { connect } from '../../src/client/index.ts';

const [socket = '', token = '', id = '', command = '', ...args] = process.argv.slice(2);
const host = await connect({ socket, token });

async function stream(name: string): Promise<{ seconds: number; bytes: number }> {
  const begin = performance.now();
  const job = await host.spawn({ id: name, command, args });
  let bytes = 0;
  for await (const chunk of job.stdout) {
    bytes += chunk.length;
  }
  const seconds = (performance.now() - begin) / 1000;
  await job.release();
  return { seconds, bytes };
}

await stream(`${id}-warm`);
console.log(JSON.stringify(await stream(id)));
await host.close();
