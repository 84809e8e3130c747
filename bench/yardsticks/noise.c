/* noise BYTES [WRITE_SIZE]: a child that writes BYTES of deterministic noise to standard output, WRITE_SIZE at a time. */
#include "common.h"

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  uint64_t left = strtoull(argv[1], NULL, 10);
  size_t piece = argc > 2 ? strtoull(argv[2], NULL, 10) : 65536;
  static unsigned char noise[1 << 20];
  uint64_t x = 88172645463325252u;
  for (size_t i = 0; i < sizeof noise; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    noise[i] = (unsigned char)x;
  }
  for (size_t offset = 0; left > 0;) {
    size_t length = piece < left ? piece : left;
    if (offset + length > sizeof noise) length = sizeof noise - offset;
    ssize_t written = write(1, noise + offset, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return 1;
    left -= (uint64_t)written;
    offset = (offset + (size_t)written) % sizeof noise;
  }
  return 0;
}
