/*
 * start_time COMMAND WORDS…: runs a command once with its three streams on the null device and prints the milliseconds
 * from before the start until its end was seen, its CPU milliseconds and its largest resident memory in MB.
 */
#include "common.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static double milliseconds_of(struct timeval time) { return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3; }

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  double begin = microseconds();
  pid_t pid = vfork();
  if (pid == 0) {
    int nothing = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) dup2(nothing, fd);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  int status;
  struct rusage usage;
  wait4(pid, &status, 0, &usage);
  printf("{\"ms\":%.3f,\"cpuMs\":%.3f,\"rssMB\":%.1f,\"status\":%d}\n", (microseconds() - begin) / 1e3,
         milliseconds_of(usage.ru_utime) + milliseconds_of(usage.ru_stime), (double)usage.ru_maxrss / 1024, status);
  return status != 0;
}
