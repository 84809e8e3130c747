/*
 * stream_floor SOCKET COMMAND WORDS…: the floor of the stream path, in C.
 *
 * For each connection, one after the other: waits for a line, starts COMMAND, reads its output 32 KiB at a time, encodes
 * it by AVX2 straight into a 16 MiB ring of frames, writes each frame at once, and ends with an exit frame. No session,
 * no second client, no request handling: nothing that does the daemon's work can be faster.
 */
#include "common.h"
#include <fcntl.h>
#include <immintrin.h>
#include <spawn.h>
#include <sys/wait.h>

#define RING (16 << 20)
#define CHUNK 32768
#define FRAME_MAX 65536

extern char **environ;

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 24 bytes become 32 characters a step (W. Muła, D. Lemire: "Faster Base64 Encoding and Decoding Using AVX2"). */
__attribute__((target("avx2"))) static size_t encode(const unsigned char *from, size_t length, char *to) {
  char *start = to;
  const __m256i shuffle = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10, 1, 0, 2, 1, 4, 3, 5, 4, 7,
                                           6, 8, 7, 10, 9, 11, 10);
  const __m256i offsets = _mm256_setr_epi8(65, 71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 0, 0, 65, 71, -4,
                                           -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 0, 0);
  for (; length >= 28; from += 24, length -= 24, to += 32) {
    __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)from)),
                                            _mm_loadu_si128((const void *)(from + 12)), 1);
    bytes = _mm256_shuffle_epi8(bytes, shuffle);
    __m256i high = _mm256_mulhi_epu16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x0fc0fc00)),
                                      _mm256_set1_epi32(0x04000040));
    __m256i low = _mm256_mullo_epi16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x003f03f0)),
                                     _mm256_set1_epi32(0x01000010));
    __m256i sixes = _mm256_or_si256(high, low);
    __m256i index = _mm256_subs_epu8(sixes, _mm256_set1_epi8(51));
    index = _mm256_sub_epi8(index, _mm256_cmpgt_epi8(sixes, _mm256_set1_epi8(25)));
    _mm256_storeu_si256((void *)to, _mm256_add_epi8(sixes, _mm256_shuffle_epi8(offsets, index)));
  }
  for (; length >= 3; from += 3, length -= 3) {
    *to++ = alphabet[from[0] >> 2];
    *to++ = alphabet[(from[0] & 3) << 4 | from[1] >> 4];
    *to++ = alphabet[(from[1] & 15) << 2 | from[2] >> 6];
    *to++ = alphabet[from[2] & 63];
  }
  if (length > 0) {
    int second = length == 2 ? from[1] : 0;
    *to++ = alphabet[from[0] >> 2];
    *to++ = alphabet[(from[0] & 3) << 4 | second >> 4];
    *to++ = length == 2 ? alphabet[(second & 15) << 2] : '=';
    *to++ = '=';
  }
  return (size_t)(to - start);
}

static void serve(int client, char **command, char *ring) {
  unsigned char chunk[CHUNK];
  if (read(client, chunk, sizeof chunk) <= 0) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  pid_t pid;
  if (posix_spawn(&pid, command[0], &actions, NULL, command, environ) != 0) fail("posix_spawn");
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  size_t position = 0;
  long seq = 0;
  for (ssize_t length; (length = read(ends[0], chunk, sizeof chunk)) > 0;) {
    if (position + FRAME_MAX > RING) position = 0;
    char *frame = ring + position;
    size_t size = (size_t)sprintf(
        frame, "{\"type\":\"stream\",\"processId\":\"p1\",\"stream\":\"stdout\",\"seq\":%ld,\"data\":\"", ++seq);
    size += encode(chunk, (size_t)length, frame + size);
    memcpy(frame + size, "\"}\n", 3);
    size += 3;
    position += size;
    write_all(client, frame, size);
  }
  close(ends[0]);
  waitpid(pid, NULL, 0);
  dprintf(client, "{\"type\":\"stream\",\"processId\":\"p1\",\"stream\":\"exit\",\"seq\":%ld,\"exitCode\":0}\n", seq + 1);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int listener = listen_at(argv[1]);
  char *ring = malloc(RING);
  for (;;) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) fail("accept");
    serve(client, argv + 2, ring);
    close(client);
  }
}
