/* One client with a short hold time, on a thread of its own so that its clock does not wait for the other clients: the longest
 * time between two KEEPALIVEs, and between any two messages. It listens and announces nothing. */
#include "generator.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static watched_t seen;
static int id;
static double last_keepalive, last_message;

static void heard(int type) {
  pthread_mutex_lock(&lock);
  double t = now();
  if (last_message && t - last_message > seen.message_gap) seen.message_gap = t - last_message;
  last_message = t;
  if (type == 4) {
    if (last_keepalive && t - last_keepalive > seen.keepalive_gap) seen.keepalive_gap = t - last_keepalive;
    last_keepalive = t;
    seen.keepalives++;
    seen.is_up = 1;
  }
  if (type == 3) seen.failed = 1;
  pthread_mutex_unlock(&lock);
}

static void *watch(void *none) {
  uint8_t out[128], in[1 << 17];
  size_t length = 0;
  double sent = 0;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl((127u << 24 | 1 << 16 | 1) + id)};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
  struct timeval short_wait = {.tv_usec = 100000};
  inet_pton(AF_INET, options.speaker, &to.sin_addr);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &short_wait, sizeof short_wait);
  if (bind(fd, (void *)&from, sizeof from) || connect(fd, (void *)&to, sizeof to)) return seen.failed = 1, none;
  if (send(fd, out, write_open(out, id, options.watch_hold, 0), MSG_NOSIGNAL) < 0) seen.failed = 1;
  for (;;) {
    ssize_t got = recv(fd, in + length, sizeof in - length, 0);
    if (got == 0) break;
    if (got > 0) length += got;
    size_t at = 0;
    while (length - at >= 19) {
      size_t size = in[at + 16] << 8 | in[at + 17];
      if (size < 19 || length - at < size) break;
      heard(in[at + 18]);
      at += size;
    }
    memmove(in, in + at, length -= at);
    if (now() - sent > options.watch_hold / 3.0 && seen.is_up + (last_message > 0) > 0) {
      if (send(fd, out, message_header(out, 19, 4), MSG_NOSIGNAL) < 0) break;
      sent = now();
    }
  }
  pthread_mutex_lock(&lock);
  seen.failed = 1;
  pthread_mutex_unlock(&lock);
  close(fd);
  return none;
}

void watcher_start(int own_id) {
  pthread_t thread;
  id = own_id;
  if (pthread_create(&thread, NULL, watch, NULL)) fail("no thread for the watching client");
}
void watcher_reset(void) {
  pthread_mutex_lock(&lock);
  seen.keepalive_gap = seen.message_gap = 0;
  pthread_mutex_unlock(&lock);
}
watched_t watcher_read(void) {
  pthread_mutex_lock(&lock);
  watched_t copy = seen;
  double t = now();
  if (t - last_keepalive > copy.keepalive_gap) copy.keepalive_gap = t - last_keepalive;
  if (t - last_message > copy.message_gap) copy.message_gap = t - last_message;
  pthread_mutex_unlock(&lock);
  return copy;
}
