/** Building the yardsticks (bench/yardsticks) into a folder git ignores, where the compilers are. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../yardsticks/', import.meta.url));
const built = fileURLToPath(new URL('../.build/', import.meta.url));

const compilers = {
  c: { command: 'gcc', remedy: 'install gcc and the headers of the C library (Debian: gcc libc6-dev)' },
  go: { command: 'go', remedy: 'install Go 1.25 or newer (https://go.dev/dl) and put it on PATH' },
} as const;

/** Told once each, so that the gap in a table is not mistaken for a result. */
const missing = new Set<string>();

/** Path of a built yardstick; `undefined`, said loudly, where its compiler is missing. @throws when it does not build */
export function yardstick(name: string): string | undefined {
  const language = existsSync(`${sources}${name}.go`) ? 'go' : 'c';
  const source = `${sources}${name}.${language}`;
  const target = built + name;
  if (isNewer(target, source) && (language === 'go' || isNewer(target, `${sources}common.h`))) {
    return target;
  }
  mkdirSync(built, { recursive: true });
  const { command, remedy } = compilers[language];
  const words = language === 'go' ? ['build', '-o', target, source] : ['-O2', '-Wall', '-Wextra', source, '-o', target];
  const result = spawnSync(command, words, {
    encoding: 'utf8',
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
  });
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    if (!missing.has(command)) {
      console.error(`SKIPPED: every figure against ${name}: no ${command} here; ${remedy}`);
    }
    missing.add(command);
    return undefined;
  }
  if (result.status !== 0) {
    throw new Error(`${command} ${words.join(' ')} failed:\n${result.stderr}`);
  }
  return target;
}

/** A yardstick without which the area cannot measure at all: a client or a child. @throws where it cannot be built */
export function needed(name: string): string {
  const path = yardstick(name);
  if (path === undefined) {
    throw new Error(`cannot measure without ${name}`);
  }
  return path;
}

function isNewer(target: string, source: string): boolean {
  return existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs;
}
