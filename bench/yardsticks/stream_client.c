/*
 * stream_client SOCKET TOKEN PROCESS_ID spawn|reattach SLOW_MICROSECONDS [COMMAND WORDS…]
 *
 * Starts a process through the daemon, or asks for all its frames again, and reads until its exit frame.
 * Prints seconds from the request to the last byte, frames, and bytes on the wire. It looks for line ends and for the
 * exit frame only, so that the client costs little of what is measured. SLOW_MICROSECONDS is a pause after each read.
 */
#include "common.h"

#define KEPT 512

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  const char *token = argv[2], *process_id = argv[3];
  useconds_t pause = (useconds_t)atol(argv[5]);
  int fd = connect_to(argv[1]);
  uint64_t begin = nanoseconds(), end = begin, frames = 0, bytes = 0;
  if (strcmp(argv[4], "spawn") == 0) {
    send_spawn(fd, token, process_id, argv + 6);
  } else {
    char line[512];
    int length = snprintf(line, sizeof line,
                          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"process.reattach\",\"auth\":\"%s\","
                          "\"params\":{\"id\":\"%s\",\"fromSeq\":0}}\n",
                          token, process_id);
    write_all(fd, line, (size_t)length);
  }
  /* The last bytes of the read before lie in front of each read, so that no exit frame is cut in two. */
  static char buffer[KEPT + (1 << 20)];
  char *read_at = buffer + KEPT;
  size_t kept = 0;
  for (int first = 1;; first = 0) {
    ssize_t length = read(fd, read_at, sizeof buffer - KEPT);
    if (length <= 0) {
      fprintf(stderr, "the connection ended before the exit frame\n");
      return 1;
    }
    end = nanoseconds();
    bytes += (uint64_t)length;
    if (pause > 0) usleep(pause);
    if (first && memmem(read_at, length < 400 ? (size_t)length : 400, "\"error\"", 7) != NULL) {
      fprintf(stderr, "refused: %.*s\n", (int)length, read_at);
      return 1;
    }
    char *last = read_at + length;
    for (char *at = read_at; (at = memchr(at, '\n', (size_t)(last - at))) != NULL; at++) frames++;
    /* Base64 holds no quote, so this cannot be found in data. */
    char *look = length > KEPT ? last - KEPT : read_at - kept;
    if (memmem(look, (size_t)(last - look), "\"exit\"", 6) != NULL) break;
    kept = length > KEPT ? KEPT : (kept + (size_t)length < KEPT ? kept + (size_t)length : KEPT);
    memmove(read_at - kept, last - kept, kept);
  }
  printf("{\"seconds\":%.6f,\"frames\":%llu,\"wireBytes\":%llu}\n", (double)(end - begin) / 1e9,
         (unsigned long long)frames, (unsigned long long)bytes);
  return 0;
}
