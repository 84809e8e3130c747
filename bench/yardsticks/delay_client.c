/*
 * delay_client SOCKET TOKEN PROCESS_ID COMMAND WORDS…
 *
 * Starts `timestamps` through the daemon; prints percentiles, in microseconds, of the time from the child's look at the
 * clock until the client has the frame.
 */
#include "common.h"

#define SKIPPED 100 /* the first ones warm everything up */

static int base64_value(int c) {
  return c >= 'a' ? c - 'a' + 26 : c >= 'A' ? c - 'A' : c >= '0' ? c - '0' + 52 : c == '+' ? 62 : 63;
}

/* The 16 hexadecimal digits in the first 24 characters of base64. */
static uint64_t decode_time(const char *base64) {
  char text[19];
  for (int from = 0, to = 0; from < 24; from += 4) {
    int bits = base64_value(base64[from]) << 18 | base64_value(base64[from + 1]) << 12 |
               base64_value(base64[from + 2]) << 6 | base64_value(base64[from + 3]);
    text[to++] = (char)(bits >> 16), text[to++] = (char)(bits >> 8), text[to++] = (char)bits;
  }
  text[16] = 0;
  return strtoull(text, NULL, 16);
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  static char buffer[1 << 20];
  static double delays[100000];
  int fd = connect_to(argv[1]);
  send_spawn(fd, argv[2], argv[3], argv + 4);
  size_t filled = 0;
  long count = 0;
  for (int ended = 0; !ended;) {
    ssize_t length = read(fd, buffer + filled, sizeof buffer - filled);
    if (length <= 0) return 1;
    uint64_t now = nanoseconds();
    filled += (size_t)length;
    char *line = buffer, *end = buffer + filled, *newline;
    for (; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL; line = newline + 1) {
      size_t size = (size_t)(newline - line);
      if (memmem(line, size, "\"exit\"", 6) != NULL) ended = 1;
      char *data = memmem(line, size, "\"data\":\"", 8);
      if (data != NULL && count < 100000) delays[count++] = (double)(now - decode_time(data + 8)) / 1e3;
    }
    filled = (size_t)(end - line);
    memmove(buffer, line, filled);
  }
  if (count < 2 * SKIPPED) return 1;
  printf("{\"count\":%ld,", count - SKIPPED);
  print_percentiles(delays + SKIPPED, count - SKIPPED);
  puts("}");
  return 0;
}
