/*
 * spawn_client SOCKET TOKEN PREFIX COUNT IN_FLIGHT COMMAND WORDS…
 *
 * Starts COUNT processes through the daemon, IN_FLIGHT of them at a time, and waits for the exit frame of each. Prints
 * how many a second. Process ids begin with PREFIX.
 */
#include "common.h"

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  long count = atol(argv[4]), in_flight = atol(argv[5]), started = 0, ended = 0;
  int fd = connect_to(argv[1]);
  static char buffer[1 << 20];
  size_t filled = 0;
  double begin = microseconds();
  while (ended < count) {
    while (started < count && started - ended < in_flight) {
      char process_id[128];
      snprintf(process_id, sizeof process_id, "%s%ld", argv[3], started++);
      send_spawn(fd, argv[2], process_id, argv + 6);
    }
    ssize_t length = read(fd, buffer + filled, sizeof buffer - filled);
    if (length <= 0) return 1;
    filled += (size_t)length;
    char *line = buffer, *end = buffer + filled, *newline;
    for (; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL; line = newline + 1) {
      if (memmem(line, (size_t)(newline - line), "\"exit\"", 6) != NULL) ended++;
      if (memmem(line, (size_t)(newline - line), "\"error\"", 7) != NULL) {
        fprintf(stderr, "refused: %.*s\n", (int)(newline - line), line);
        return 1;
      }
    }
    filled = (size_t)(end - line);
    memmove(buffer, line, filled);
  }
  printf("{\"rate\":%.1f}\n", (double)count / ((microseconds() - begin) / 1e6));
  return 0;
}
