/** Objects that are missing: the fetch of them reads addresses, programs and files that the repository has configured. */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { installed } from '../../support/needs.ts';
import { commit, git, write } from '../support.ts';
import { declareVectors, plainly, type Trap, type Vector } from './trap.ts';

const openssl = installed('openssl', 'openssl');

/** The address of a remote, as somebody with a partial clone has it. */
function promisor(base: string, address: string): void {
  git(base, 'config', 'core.repositoryFormatVersion', '1');
  git(base, 'config', 'extensions.partialClone', 'origin');
  git(base, 'config', 'remote.origin.url', address);
  git(base, 'config', 'remote.origin.promisor', 'true');
  git(base, 'config', 'remote.origin.partialCloneFilter', 'blob:none');
}

/** A commit whose file is only at origin. @param origin where a repository that has it is made */
function withoutFile(base: string, address: string, origin?: string): void {
  write(join(base, 'lazy.txt'), 'only at origin\n');
  commit(base, 'lazy');
  if (origin !== undefined) {
    git(base, 'clone', '-q', '--bare', base, origin);
    git(origin, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
    git(origin, 'config', 'uploadpack.allowFilter', 'true');
  }
  const blob = git(base, 'rev-parse', 'HEAD:lazy.txt');
  rmSync(join(base, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
  rmSync(join(base, 'lazy.txt'));
  promisor(base, address);
}

const missing = '1234567890123456789012345678901234567890';

/** A branch that names a commit nobody has. */
function withoutCommit(base: string, address: string): void {
  promisor(base, address);
  write(join(base, '.git', 'refs', 'heads', 'lazy'), `${missing}\n`);
  write(join(base, '.git', 'refs', 'remotes', 'origin', 'lazy'), `${missing}\n`);
}

const addWorktree = (base: string) => plainly(base, 'worktree', 'add', '-b', 'plain', join(base, 'plain'));
const addFromBranch = (base: string) =>
  plainly(base, 'worktree', 'add', '-b', 'plain', join(base, 'plain'), 'refs/heads/lazy');

/** What a server does with a request. */
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server with a certificate that nobody trusts. @returns its port */
async function falseServer(folder: string, answer: Answer): Promise<number> {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const words = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=example.invalid'.split(' ');
  execFileSync('openssl', ['req', ...words, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  return listen(createSecureServer({ key: readFileSync(key), cert: readFileSync(certificate) }, answer));
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Springs the trap when a request gets to the server. */
function springing(trap: Trap): Answer {
  return (request, response) => {
    trap.spring(`the false server was asked for ${request.url}`);
    response.writeHead(404).end();
  };
}

/** Serves the repositories in a folder as git does, with a cookie. The cookies are saved when a fetch succeeds. */
function serving(folder: string): Answer {
  return (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const backend = spawn('git', ['http-backend'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        ...process.env,
        GIT_PROJECT_ROOT: folder,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: path,
        QUERY_STRING: query,
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers['content-type'],
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
        GIT_PROTOCOL: request.headers['git-protocol']?.toString(),
      },
    });
    request.pipe(backend.stdin);
    const chunks: Buffer[] = [];
    backend.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    backend.on('close', () => {
      const output = Buffer.concat(chunks);
      const end = output.indexOf('\r\n\r\n');
      for (const line of output.toString('latin1', 0, end).split('\r\n')) {
        const [name = '', value = ''] = line.split(': ');
        response.setHeader(name, value);
      }
      response.setHeader('set-cookie', 'evil=1; Max-Age=1000');
      response.end(output.subarray(end + 4));
    });
  };
}

/** Wants a password. */
const askingForPassword: Answer = (_request, response) => {
  response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
};

const vectors: Vector[] = [
  {
    what: 'cookies that are saved to a file of the user',
    need: openssl,
    async set(base, trap) {
      const folder = join(base, '..', 'served');
      const port = await falseServer(join(base, '..'), serving(folder));
      withoutFile(base, `https://127.0.0.1:${port}/r`, join(folder, 'r'));
      git(base, 'config', 'http.sslVerify', 'false');
      git(base, 'config', 'http.cookieFile', join(trap.outside, 'victim'));
      git(base, 'config', 'http.saveCookies', 'true');
    },
    plain: addWorktree,
  },
  {
    what: 'another address for the name of a server, and no look at its certificate',
    need: openssl,
    async set(base, trap) {
      const port = await falseServer(join(base, '..'), springing(trap));
      withoutFile(base, `https://example.invalid:${port}/o/r`);
      git(base, 'config', 'http.curloptResolve', `example.invalid:${port}:127.0.0.1`);
      git(base, 'config', 'http.sslVerify', 'false');
    },
    plain: addWorktree,
  },
  {
    what: 'no look at the certificate of a false server',
    need: openssl,
    async set(base, trap) {
      const port = await falseServer(join(base, '..'), springing(trap));
      withoutFile(base, `https://127.0.0.1:${port}/o/r`);
      git(base, 'config', `http.https://127.0.0.1:${port}/.sslVerify`, 'false');
    },
    plain: addWorktree,
  },
  {
    what: 'a proxy',
    async set(base, trap) {
      const server = createServer();
      server.on('connect', (request, socket) => {
        trap.spring(`the proxy was asked for ${request.url}`);
        socket.end('HTTP/1.1 502 No\r\n\r\n');
      });
      const port = await listen(server);
      withoutFile(base, 'https://example.invalid/o/r');
      git(base, 'config', 'http.proxy', `http://127.0.0.1:${port}`);
      git(base, 'config', 'remote.origin.proxy', `http://127.0.0.1:${port}`);
    },
    plain: addWorktree,
  },
  {
    what: 'another remote address by a rule of the repository',
    need: openssl,
    async set(base, trap) {
      const port = await falseServer(join(base, '..'), springing(trap));
      withoutFile(base, 'https://example.invalid/o/r');
      git(base, 'config', `url.https://127.0.0.1:${port}/.insteadOf`, 'https://example.invalid/');
      git(base, 'config', 'http.sslVerify', 'false');
    },
    plain: addWorktree,
  },
  {
    what: 'a branch without its commit and an ssh command',
    set(base, { command }) {
      withoutCommit(base, 'ssh://localhost:9/o/r');
      git(base, 'config', 'core.sshCommand', `${command}; false`);
    },
    plain: addFromBranch,
    sourceBranch: 'lazy',
  },
  {
    what: 'a branch without its commit and a remote that is a command',
    set(base, { command }) {
      withoutCommit(base, `ext::sh -c ${command.replaceAll(' ', '% ')}`);
      git(base, 'config', 'protocol.ext.allow', 'always');
    },
    plain: addFromBranch,
    sourceBranch: 'lazy',
  },
  {
    what: 'a branch without its commit and a program at the remote end',
    set(base, { command }) {
      withoutCommit(base, base);
      git(base, 'config', 'remote.origin.uploadpack', `${command}; false`);
    },
    plain: addFromBranch,
    sourceBranch: 'lazy',
  },
  {
    what: 'a branch without its commit and a program that asks for passwords',
    need: openssl,
    async set(base, trap) {
      const port = await falseServer(join(base, '..'), askingForPassword);
      withoutCommit(base, `https://127.0.0.1:${port}/o/r`);
      git(base, 'config', 'http.sslVerify', 'false');
      write(join(base, '.git', 'ask'), `#!/bin/sh\n${trap.command}\necho x\n`, 0o755);
      git(base, 'config', 'core.askPass', join(base, '.git', 'ask'));
    },
    plain: addFromBranch,
    sourceBranch: 'lazy',
  },
  {
    what: 'a branch without its commit and a helper for credentials',
    need: openssl,
    async set(base, trap) {
      const port = await falseServer(join(base, '..'), askingForPassword);
      withoutCommit(base, `https://127.0.0.1:${port}/o/r`);
      git(base, 'config', 'http.sslVerify', 'false');
      git(base, 'config', `credential.https://127.0.0.1:${port}.helper`, `!${trap.command}`);
    },
    plain: addFromBranch,
    sourceBranch: 'lazy',
  },
];

declareVectors(vectors);
