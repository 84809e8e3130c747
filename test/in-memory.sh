#!/bin/sh
# test/in-memory.sh COMMAND [WORD...]: runs a command whose /tmp is in memory, where that is allowed and there is memory for it.
# The tests make and remove some hundred thousand files. ext4 gives no inode away again for five seconds, and more while it has
# not been written, so it looks through all of those for each new file: a tenth of the processor time of a git test.
set -u

available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
mount='mount -t tmpfs -o mode=1777 tmpfs /tmp'
case $PWD/ in
  # What lies there would be hidden.
  /tmp/*) ;;
  *)
    if [ "${available:-0}" -ge 8388608 ] && unshare -m sh -c "$mount" 2>/dev/null; then
      exec unshare -m sh -c "$mount && exec \"\$@\"" sh "$@"
    fi
    ;;
esac
exec "$@"
