/**
 * `npm run build -- --target linux-x64`: the program as one file that needs no Node.js on the host, in dist, with what it
 * is made of and SHA256SUMS beside it. Without a target it is made for this machine; `all` makes every one. The same commit
 * gives the same bytes.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { leastGlibc } from '../src/operate/deploy/least-glibc.ts';
import { bundle } from './executable/bundle.ts';
import { bill, type Component, notices, sha256 } from './executable/contents.ts';
import { makeExecutable, runtimeOptions } from './executable/inject.ts';
import { lockedVersion, type Manifest, manifestOf, packageFolder } from './executable/packages.ts';
import { executableName, isThisMachine, type Target, targets } from './executable/targets.ts';

const root = join(import.meta.dirname, '..');
/** Has the Node.js of targets with another version than this project's own. */
const makers = join(import.meta.dirname, 'executable/makers');
const officialArchive =
  'take the Node.js of that version and system from its official archive, and name the program in it: --runtime <folder of the archive>/bin/node';
const nameOne = 'name one of that version that runs here with --maker';
/** Any number will do, see executable/compile.ts. */
const hashSeed = 1;

/** Of the commit, so that the same source gives the same file. SOURCE_DATE_EPOCH (seconds) goes before it. */
function timeOfSource(): string {
  const epoch = process.env.SOURCE_DATE_EPOCH;
  if (epoch !== undefined) {
    return new Date(Number(epoch) * 1_000).toISOString();
  }
  try {
    const seconds = execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8', stdio: 'pipe' });
    return new Date(Number(seconds) * 1_000).toISOString();
  } catch {
    return 'unknown';
  }
}

function fail(message: string): never {
  console.error(`build: ${message}`);
  process.exit(2);
}

function chosen(names: readonly string[]): readonly Target[] {
  if (names.includes('all')) {
    return targets;
  }
  if (names.length === 0) {
    const own = targets.find(isThisMachine);
    return own === undefined ? fail(`no target is this machine; give one: ${known()}`) : [own];
  }
  return names.map(
    (name) => targets.find((each) => each.name === name) ?? fail(`no target ${name}; known: ${known()}`),
  );
}

function known(): string {
  return [...targets.map(({ name }) => name), 'all'].join(', ');
}

interface Other {
  /** Executable of another Node.js than the package of the target has, in the folder `bin` of a package or of an official archive. */
  readonly runtime?: string;
  /** One of its version that runs here, as a command line. */
  readonly maker?: string;
}

async function build(target: Target, folder: string, buildTime: string, other: Other): Promise<void> {
  const piecesFolder = join(folder, 'pieces');
  mkdirSync(piecesFolder, { recursive: true });

  const runtimeFolder =
    other.runtime === undefined
      ? await packageFolder(target.runtime.package, root, cache, officialArchive)
      : dirname(dirname(other.runtime));
  const manifest = manifestOfArchive(runtimeFolder, target) ?? manifestOf(runtimeFolder);
  const maker = other.maker?.split(' ') ?? [await makerOf(manifest.version)];
  const addonFolder = await packageFolder(target.addon.package, root, cache);
  const runtime = other.runtime ?? join(runtimeFolder, target.runtime.file);
  const addon = join(addonFolder, target.addon.file);
  const { main, pieces, packages } = await bundle({
    root,
    buildTime,
    addon: { sha256: sha256(readFileSync(addon)), glibc: leastGlibc(readFileSync(runtime), readFileSync(addon)) },
  });

  const assets: Record<string, string> = { addon };
  for (const [name, code] of pieces) {
    assets[name] = join(piecesFolder, name);
    writeFileSync(assets[name], code);
  }
  // V8 takes compiled code from itself only: the same build of it on the same kind of processor.
  if (isThisMachine(target) && other.runtime === undefined) {
    const words = [`--hash-seed=${hashSeed}`, ...runtimeOptions(target), join(root, 'build/executable/compile.ts')];
    execFileSync(runtime, [...words, piecesFolder], { stdio: 'inherit' });
    for (const name of pieces.keys()) {
      assets[`${name}.compiled`] = join(piecesFolder, `${name}.compiled`);
    }
  }

  const koffi = join(root, 'node_modules/koffi');
  const components: Component[] = [
    // Not every package of it has the text, which is the same on every system.
    {
      ...{ folder: runtimeFolder, file: runtime, licenseFolder: dirname(dirname(process.execPath)) },
      ...{ type: 'framework', manifest },
    },
    { folder: addonFolder, file: addon, licenseFolder: koffi, type: 'library' },
    ...packages.map((each) => ({ folder: each, type: 'library' as const })),
  ];
  const texts = { notices: notices(root, components), sbom: bill(root, buildTime, components) };
  for (const [name, text] of Object.entries(texts)) {
    assets[name] = join(folder, name);
    writeFileSync(assets[name], text);
  }

  const result = join(dist, executableName(target));
  await makeExecutable(target, { runtime, maker, main, assets }, join(folder, 'work'), result);
  writeFileSync(join(dist, `holdfast-${target.name}.notices.txt`), texts.notices);
  writeFileSync(join(dist, `holdfast-${target.name}.cdx.json`), texts.sbom);
  console.log(
    `${join(relative(process.cwd(), dist), executableName(target))}  ${Math.round(statSync(result).size / 1e6)} MB`,
  );
}

/** @returns a Node.js of that version that runs here: only it writes the parts in the form in which the runtime reads them */
async function makerOf(version: string): Promise<string> {
  if (version === process.versions.node) {
    return process.execPath;
  }
  const own = targets.find(isThisMachine)?.runtime;
  if (own === undefined || lockedVersion(own.package, makers) !== version) {
    throw new Error(`this takes Node.js ${version}, this one is ${process.versions.node}; ${nameOne}`);
  }
  return join(await packageFolder(own.package, makers, cache, nameOne), own.file);
}

/** An official archive of Node.js is no package; `undefined` for a package. It is to be of the version of this project. */
function manifestOfArchive(folder: string, { runtime }: Target): Manifest | undefined {
  return existsSync(join(folder, 'package.json'))
    ? undefined
    : { name: runtime.package, version: lockedVersion(runtime.package, root), license: 'MIT' };
}

/** Of every executable in dist, in the form that `sha256sum -c` takes. */
function writeSums(): void {
  const names = targets.map(executableName).filter((name) => existsSync(join(dist, name)));
  writeFileSync(
    join(dist, 'SHA256SUMS'),
    names.map((name) => `${sha256(readFileSync(join(dist, name)))}  ${name}\n`).join(''),
  );
}

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: [] },
    // The Windows suite under Wine needs an older Node.js than the one that is shipped (test/windows/prepare-wine.sh).
    runtime: { type: 'string' },
    maker: { type: 'string' },
    out: { type: 'string', default: join(root, 'dist') },
    // Where packages of other systems are kept.
    cache: { type: 'string', default: join(root, 'node_modules/.cache/holdfast-build') },
  },
});
const dist = resolve(values.out);
const cache = resolve(values.cache);
const buildTime = timeOfSource();
mkdirSync(dist, { recursive: true });
for (const target of chosen(values.target)) {
  const folder = mkdtempSync(join(dist, '.building-'));
  try {
    await build(target, folder, buildTime, values);
  } catch (error) {
    console.error(`build: ${target.name}: ${(error as Error).message}`);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
writeSums();
