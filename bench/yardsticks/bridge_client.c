/*
 * bridge_client SOCKET MEGABYTES BRIDGE WORDS…
 *
 * Plays both ends of a byte pump: a server at SOCKET, and the client on the pump's standard input and output. Measures
 * the time to the first byte, 5,000 echoes of 100 bytes, MEGABYTES from the server and a quarter of them to it, and the
 * CPU time of the pump.
 */
#include "common.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define ECHOES 5000
#define SKIPPED 500
#define ECHO_BYTES 100
#define BLOCK (1 << 18)

static char block[BLOCK];

static void read_exactly(int fd, uint64_t bytes) {
  while (bytes > 0) {
    ssize_t length = read(fd, block, bytes < BLOCK ? bytes : BLOCK);
    if (length <= 0) fail("read");
    bytes -= (uint64_t)length;
  }
}

static void write_blocks(int fd, long count) {
  for (long i = 0; i < count; i++) write_all(fd, block, BLOCK);
}

static void serve(int listener, long down, long up) {
  int fd = accept(listener, NULL, NULL);
  uint64_t echoed = 0;
  while (echoed < (uint64_t)(ECHOES + SKIPPED) * ECHO_BYTES) {
    ssize_t length = read(fd, block, BLOCK);
    if (length <= 0) fail("server: read");
    write_all(fd, block, (size_t)length);
    echoed += (uint64_t)length;
  }
  write_blocks(fd, down);
  read_exactly(fd, (uint64_t)up * BLOCK);
  write_all(fd, "D", 1);
  while (read(fd, block, BLOCK) > 0) {
  }
  _exit(0);
}

/* Seconds of CPU time of all threads, from the scheduler's own nanoseconds. */
static double cpu_of(pid_t pid) {
  char command[128];
  snprintf(command, sizeof command, "cat /proc/%d/task/[0-9]*/schedstat", pid);
  FILE *lines = popen(command, "r");
  double total = 0;
  unsigned long long ran, waited, slices;
  while (fscanf(lines, "%llu %llu %llu", &ran, &waited, &slices) == 3) total += (double)ran / 1e9;
  pclose(lines);
  return total;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  long down = atol(argv[2]) * 4, up = down / 4;
  double down_bytes = (double)down * BLOCK, up_bytes = (double)up * BLOCK;
  int listener = listen_at(argv[1]), input[2], output[2];
  if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) fail("pipe2");
  pid_t server = fork();
  if (server == 0) {
    close(input[0]), close(input[1]), close(output[0]), close(output[1]);
    serve(listener, down, up);
  }
  double begin = microseconds();
  pid_t pump = fork();
  if (pump == 0) {
    dup2(input[0], 0);
    dup2(output[1], 1);
    execvp(argv[3], argv + 3);
    _exit(127);
  }
  close(input[0]), close(output[1]);

  static double took[ECHOES + SKIPPED];
  double first = 0;
  for (int i = 0; i < ECHOES + SKIPPED; i++) {
    double sent = microseconds();
    write_all(input[1], block, ECHO_BYTES);
    read_exactly(output[0], ECHO_BYTES);
    took[i] = microseconds() - sent;
    if (i == 0) first = microseconds() - begin;
  }
  double cpu_before = cpu_of(pump), start = microseconds();
  read_exactly(output[0], (uint64_t)down_bytes);
  double down_time = microseconds() - start, cpu_between = cpu_of(pump);
  start = microseconds();
  write_blocks(input[1], up);
  read_exactly(output[0], 1);
  double up_time = microseconds() - start, cpu_after = cpu_of(pump);
  close(input[1]);
  int status;
  waitpid(pump, &status, 0);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  printf("{\"firstMs\":%.2f,\"downMBs\":%.1f,\"downCpuPerGB\":%.4f,\"upMBs\":%.1f,\"upCpuPerGB\":%.4f,\"status\":%d,",
         first / 1e3, down_bytes / down_time, (cpu_between - cpu_before) / (down_bytes / 1e9), up_bytes / up_time,
         (cpu_after - cpu_between) / (up_bytes / 1e9), status);
  print_percentiles(took + SKIPPED, ECHOES);
  puts("}");
  return 0;
}
