/*
 * ping_client SOCKET TOKEN COUNT IN_FLIGHT
 *
 * server.ping round trips on one connection, IN_FLIGHT at a time; prints their rate and percentiles in microseconds of
 * the time from a request to its reply, without the first tenth.
 */
#include "common.h"

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  const char *token = argv[2];
  long count = atol(argv[3]), in_flight = atol(argv[4]), sent = 0, received = 0;
  int fd = connect_to(argv[1]);
  double *sent_at = malloc((size_t)count * sizeof *sent_at), *took = malloc((size_t)count * sizeof *took);
  static char input[1 << 16], output[1 << 16];
  double begin = microseconds();
  while (received < count) {
    double now = microseconds();
    int length = 0;
    while (sent < count && sent - received < in_flight && length < (int)sizeof output - 256) {
      length += sprintf(output + length,
                        "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"method\":\"server.ping\",\"auth\":\"%s\",\"params\":{}}\n",
                        sent, token);
      sent_at[sent++] = now;
    }
    if (length > 0) write_all(fd, output, (size_t)length);
    ssize_t size = read(fd, input, sizeof input);
    if (size <= 0) return 1;
    if (received == 0 && memmem(input, (size_t)size, "\"result\"", 8) == NULL) {
      fprintf(stderr, "refused: %.*s\n", (int)size, input);
      return 1;
    }
    now = microseconds();
    for (ssize_t i = 0; i < size && received < count; i++) {
      if (input[i] == '\n') took[received] = now - sent_at[received], received++;
    }
  }
  printf("{\"rate\":%.1f,", (double)count / ((microseconds() - begin) / 1e6));
  print_percentiles(took + count / 10, count - count / 10);
  puts("}");
  return 0;
}
