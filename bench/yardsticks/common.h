/* What the C yardsticks share: the clock, percentiles, and a client that speaks the daemon's JSON lines. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline uint64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline double microseconds(void) { return (double)nanoseconds() / 1e3; }

static inline int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Prints "p50":…,"p99":… of `count` values, which are sorted by it. */
static inline void print_percentiles(double *values, long count) {
  qsort(values, count, sizeof *values, ascending);
  printf("\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.2f", values[count / 2], values[count * 9 / 10],
         values[count * 99 / 100], values[count - 1]);
}

static inline void write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    bytes += written;
    length -= (size_t)written;
  }
}

static inline struct sockaddr_un unix_address(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "socket path too long: %s\n", path);
    exit(1);
  }
  strcpy(address.sun_path, path);
  return address;
}

/* Waits up to five seconds for a server that is just starting. */
static inline int connect_to(const char *path) {
  struct sockaddr_un address = unix_address(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  for (int attempt = 0; connect(fd, (struct sockaddr *)&address, sizeof address) != 0; attempt++) {
    if (attempt == 500) fail("connect");
    usleep(10000);
  }
  return fd;
}

static inline int listen_at(const char *path) {
  struct sockaddr_un address = unix_address(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) fail("listen");
  return fd;
}

/* Sends process.spawn for `argv`, whose words need no escaping in JSON. */
static inline void send_spawn(int fd, const char *token, const char *process_id, char **argv) {
  char line[8192];
  int length = snprintf(line, sizeof line,
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"process.spawn\",\"auth\":\"%s\","
                        "\"params\":{\"id\":\"%s\",\"command\":\"%s\",\"args\":[",
                        token, process_id, argv[0]);
  for (char **word = argv + 1; *word != NULL; word++) {
    length += snprintf(line + length, sizeof line - (size_t)length, "%s\"%s\"", word == argv + 1 ? "" : ",", *word);
  }
  length += snprintf(line + length, sizeof line - (size_t)length, "]}}\n");
  write_all(fd, line, (size_t)length);
}
