#!/usr/bin/env bash
# Puts the git of the next Debian release beside the one of this machine, for tests that must hold with an old git and a new
# one (reftable, relative worktrees, attributes from a tree). Everything lies in .new-git/ (ignored by git): git, its
# libraries and their C library, unpacked and not installed, so nothing on the machine changes and no root is needed. The
# mirror is the one this machine's own apt uses. A second run only does what is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
release=trixie
cache=$PWD/.new-git
ready=$cache/version

fail() {
  echo "prepare-new-git: $1" >&2
  exit 1
}

# The folder may have been moved or copied with the clone, and wrappers name it.
if [ -x "$cache/bin/git" ] && [ "$("$cache/bin/git" version 2>/dev/null)" = "$(cat "$ready" 2>/dev/null)" ] &&
  [ "$("$cache/bin/git" --exec-path)" = "$cache/exec" ] && [ -d "$cache/exec/mergetools" ]; then
  echo "prepare-new-git: $(cat "$ready") is there"
  exit 0
fi

mirror=$(apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' |
  sed -n 's/^Packages|Debian|Debian|main|//p' | head -n 1)
[ -n "$mirror" ] || fail 'apt knows no Debian mirror; run "apt-get update", on Debian'
architecture=$(dpkg --print-architecture)

rm -rf "$cache"
mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/bin" "$cache/exec" "$cache/root"
echo "deb [arch=$architecture signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" \
  >"$cache/apt/sources.list"
: >"$cache/apt/status"
options=(
  -q
  -o "Dir::Etc::sourcelist=$cache/apt/sources.list"
  -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferencesparts=/dev/null
  -o "Dir::State=$cache/apt"
  -o "Dir::State::status=$cache/apt/status"
  -o "Dir::Cache=$cache/apt"
  -o Acquire::Languages=none
  -o APT::Sandbox::User=root
  -o Acquire::Retries=3
)
echo "prepare-new-git: reading the list of $release"
apt-get "${options[@]}" update >"$cache/log" 2>&1 || { tail -n 20 "$cache/log" >&2; fail 'the list of packages could not be read'; }

# What git needs to run and the libraries need in their turn. Without perl, which only mail and subversion use.
mapfile -t packages < <(
  apt-cache "${options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances --no-pre-depends git | grep -E '^(git|lib[a-z0-9.+-]*|zlib1g)$' |
    grep -vE '^lib(error-)?perl|-perl(-|$)|^libc-dev|^libc-bin' | sort -u
)
echo "prepare-new-git: fetching ${#packages[@]} packages"
(cd "$cache/apt/archives" && apt-get "${options[@]}" download "${packages[@]}") >>"$cache/log" 2>&1 ||
  { tail -n 20 "$cache/log" >&2; fail 'the packages could not be fetched'; }
for package in "$cache"/apt/archives/*.deb; do
  dpkg -x "$package" "$cache/root"
done

loader=$(find "$cache/root/usr/lib" -name 'ld-linux-*.so.*' -print -quit)
[ -n "$loader" ] || fail 'the packages hold no loader'
libraries=$(dirname "$(find "$cache/root/usr/lib" -name libz.so.1 -print -quit)")

# Started through that folder's own loader: the C library of this machine may be too old for it.
wrap() {
  local target=$1 program=$2
  cat >"$target" <<WRAPPER
#!/bin/sh
export GIT_EXEC_PATH='$cache/exec' GIT_TEMPLATE_DIR='$cache/root/usr/share/git-core/templates'
exec '$loader' --library-path '$libraries' --argv0 '${target##*/}' '$program' "\$@"
WRAPPER
  chmod 755 "$target"
}

for file in "$cache"/root/usr/lib/git-core/*; do
  name=${file##*/}
  if [ -f "$file" ] && [ "$(head -c 4 "$file" | tail -c 3)" = ELF ]; then
    wrap "$cache/exec/$name" "$file"
  else
    # Scripts, and the folder that says how each merge tool is called.
    ln -s "$file" "$cache/exec/$name"
  fi
done
for name in git git-receive-pack git-upload-archive git-upload-pack; do
  wrap "$cache/bin/$name" "$cache/root/usr/bin/git"
done
rm -rf "$cache/apt"

"$cache/bin/git" version >"$ready.new" || fail 'the unpacked git does not start'
# Written last: an interrupted preparation is done again.
mv "$ready.new" "$ready"
echo "prepare-new-git: $(cat "$ready"), beside $(git version)"
