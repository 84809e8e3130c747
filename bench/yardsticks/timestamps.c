/* timestamps COUNT: a child that writes COUNT lines of 17 bytes, one a millisecond, each the clock at its writing. */
#include "common.h"

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000;
  for (long i = 0; i < count; i++) {
    char line[32];
    usleep(1000);
    int length = sprintf(line, "%016llx\n", (unsigned long long)nanoseconds());
    if (write(1, line, (size_t)length) != length) return 1;
  }
  return 0;
}
