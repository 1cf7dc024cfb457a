/* The clients' sessions, and what each listener was told. One thread; the sockets are never waited for one by one. */
#define _GNU_SOURCE
#include "generator.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { CONNECTING, OPEN_SENT, OPEN_CONFIRM, ESTABLISHED, HOLD_SECONDS = 90, DIAL_WINDOW = 32 };
enum { FIRST_ADDRESS = 127 << 24 | 1 << 16 | 1 };

client_t *clients;
int client_total;
double phase_start;
char capabilities[256];
int speaker_offers_paths;
static int poll_fd, established, waits;
static double last_keepalive;
static uint8_t chunk[1 << 18];

void clients_open(void) {
  poll_fd = epoll_create1(0);
  client_total = options.clients;
  clients = calloc(client_total, sizeof *clients);
  for (int i = 0; i < client_total; i++) {
    client_t *client = &clients[i];
    client->id = i;
    client->is_injector = i < options.injectors;
    client->is_sink = options.mesh || !client->is_injector;
    client->tail = malloc(65536);
  }
}

static void watch(client_t *client, int how) {
  uint32_t in = client->reads_from > now() ? 0 : EPOLLIN;
  struct epoll_event event = {.events = in | (client->out_offset < client->out_length || client->state == CONNECTING ? EPOLLOUT : 0), .data.ptr = client};
  epoll_ctl(poll_fd, how, client->fd, &event);
}

void client_put(client_t *client, const void *bytes, size_t length) {
  client->out = more(client->out, client->out_length, &client->out_room, client->out_length + length, 1);
  memcpy(client->out + client->out_length, bytes, length);
  client->out_length += length;
}
void client_flush(client_t *client) {
  while (client->out_offset < client->out_length) {
    ssize_t sent = send(client->fd, client->out + client->out_offset, client->out_length - client->out_offset, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) fail("client %d cannot send: %s", client->id, strerror(errno));
    client->out_offset += sent;
  }
  if (client->out_offset == client->out_length) client->out_offset = client->out_length = 0;
  watch(client, EPOLL_CTL_MOD);
}

static void dial(client_t *client) {
  int one = 1;
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(client->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(FIRST_ADDRESS + client->id)};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
  inet_pton(AF_INET, options.speaker, &to.sin_addr);
  if (bind(client->fd, (void *)&from, sizeof from)) fail("client %d cannot bind: %s", client->id, strerror(errno));
  if (connect(client->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) fail("client %d cannot connect: %s", client->id, strerror(errno));
  watch(client, EPOLL_CTL_ADD);
}

static void connected(client_t *client) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) fail("client %d cannot connect: %s", client->id, strerror(error));
  uint8_t open[128];
  client->state = OPEN_SENT;
  client_put(client, open, write_open(open, client->id, HOLD_SECONDS, options.add_path && client->is_sink));
  client_flush(client);
}

static void finish_if_done(client_t *client) {
  if (client->done_at != 0 || client->digest != client->want_digest || client->count != client->want_count) return;
  client->done_at = now() - phase_start;
  if (client->reads_from == 0) waits--;
}

static inline void hold(client_t *client, uint32_t at, uint32_t told) {
  uint32_t before = client->held[at];
  if (before == told) return;
  if (before) client->digest -= contribution(at, before), client->count--;
  if (told) client->digest += contribution(at, told), client->count++;
  client->held[at] = told;
}

/* With ADD-PATH a path stands in the slot of its originator; it is withdrawn by its path identifier alone. */
static uint32_t slot_of(client_t *client, uint32_t index, uint32_t path_id, const scan_t *scan) {
  uint32_t total = prefix_count();
  if (scan) {
    uint32_t slot = scan->originator - FIRST_ID;
    if (slot >= model_slots()) fail("client %d was told a path of an ORIGINATOR_ID that is no injector's", client->id);
    client->path_id[slot * total + index] = path_id;
    return slot;
  }
  for (uint32_t slot = 0; slot < model_slots(); slot++)
    if (client->held[slot * total + index] && client->path_id[slot * total + index] == path_id) return slot;
  return 0;
}

static void routes(client_t *client, const uint8_t *at, const uint8_t *end, const scan_t *scan, uint32_t told) {
  uint32_t total = prefix_count(), path_id = 0, slot = 0;
  while (at < end) {
    if (client->takes_paths) path_id = (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3], at += 4;
    int octets = (at[0] + 7) / 8;
    if (at + 1 + octets > end) fail("client %d was told a prefix that runs past its field", client->id);
    uint32_t index = prefix_index(at, 0);
    at += 1 + octets;
    if (index == NO_INDEX) fail("client %d was told a prefix that nobody announced", client->id);
    if (scan) client->announced++;
    else client->withdrawn++;
    if (options.mesh && model_injector(0, index) == client->id) continue; /* back to its originator: legal, not counted */
    if (client->takes_paths) slot = slot_of(client, index, path_id, scan);
    if (client->tellings && scan && client->tellings[index] < 255) client->tellings[index]++;
    hold(client, slot * total + index, told);
  }
}

/* A set that nobody announced, or one told without the speaker's mark, ends the run: a table with it could never become right. */
static uint32_t checked(client_t *client, const scan_t *scan, const uint8_t *at, const uint8_t *end) {
  if (!scan->has_originator) fail("client %d was told a route without ORIGINATOR_ID", client->id);
  if (scan->clusters == 0 || scan->first_cluster != options.cluster) fail("client %d was told a route without the speaker's CLUSTER_ID in front", client->id);
  uint32_t told = told_of(scan);
  if (!told_is_known(told)) {
    char hex[601] = "";
    for (int n = 0; at < end && n < 600; at++, n += 2) snprintf(hex + n, 3, "%02x", *at);
    fail("client %d was told attributes that nobody announced: %s", client->id, hex);
  }
  return told;
}

static void update(client_t *client, const uint8_t *at, const uint8_t *end) {
  const uint8_t *gone = at + 2, *gone_end = gone + (at[0] << 8 | at[1]), *attributes = gone_end + 2;
  const uint8_t *nlri = attributes + (gone_end[0] << 8 | gone_end[1]);
  client->updates++;
  routes(client, gone, gone_end, NULL, 0);
  if (nlri > end) fail("client %d was told attributes that run past the UPDATE", client->id);
  if (nlri > attributes) {
    scan_t scan;
    attributes_scan(attributes, nlri, &scan);
    if (scan.unreach) routes(client, scan.unreach, scan.unreach_end, NULL, 0);
    if (nlri < end || scan.reach) {
      uint32_t told = checked(client, &scan, attributes, nlri);
      routes(client, nlri, end, &scan, told);
      if (scan.reach) routes(client, scan.reach, scan.reach_end, &scan, told);
    }
  }
}

/* Capability codes of the speaker's OPEN, for the record, and whether it would send ADD-PATH. */
static void read_open(client_t *client, const uint8_t *body, size_t length) {
  size_t written = 0, at = 10;
  int offers = 0;
  for (; at + 2 <= length; at += 2 + body[at + 1]) {
    if (body[at] != 2) continue;
    for (size_t k = at + 2, end = k + body[at + 1]; k + 2 <= end && end <= length; k += 2 + body[k + 1]) {
      if (written < sizeof capabilities - 8) written += snprintf(capabilities + written, sizeof capabilities - written, written ? ",%d" : "%d", body[k]);
      if (body[k] != 69) continue;
      for (size_t f = k + 2; f + 4 <= k + 2 + body[k + 1]; f += 4)
        if (body[f + 1] == (options.family == 4 ? 1 : 2) && body[f + 3] & 2) offers = 1;
    }
  }
  client->takes_paths = offers && options.add_path && client->is_sink;
  if (client->is_sink && offers) speaker_offers_paths = 1;
}

static void message(client_t *client, int type, const uint8_t *body, size_t length) {
  uint8_t keepalive[19];
  if (type == 1) {
    read_open(client, body, length);
    client_put(client, keepalive, message_header(keepalive, 19, 4));
    client->state = OPEN_CONFIRM;
    client_flush(client);
  } else if (type == 4 && client->state == OPEN_CONFIRM) client->state = ESTABLISHED, established++;
  else if (type == 2 && client->held) update(client, body, body + length);
  else if (type == 3) fail("the speaker sent NOTIFICATION %d/%d to client %d", body[0], body[1], client->id);
}

static void readable(client_t *client) {
  memcpy(chunk, client->tail, client->tail_length);
  ssize_t got = recv(client->fd, chunk + client->tail_length, sizeof chunk - client->tail_length, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) fail("the session of client %d ended: %s", client->id, got ? strerror(errno) : "closed by the speaker");
  size_t length = client->tail_length + got, at = 0;
  while (length - at >= 19) {
    size_t size = chunk[at + 16] << 8 | chunk[at + 17];
    if (size < 19) fail("client %d was sent a message of length %zu", client->id, size);
    if (length - at < size) break;
    message(client, chunk[at + 18], chunk + at + 19, size - 19);
    at += size;
  }
  client->tail_length = length - at;
  memcpy(client->tail, chunk + at, client->tail_length);
  if (client->held) finish_if_done(client);
}

static void send_keepalives(void) {
  uint8_t keepalive[19];
  last_keepalive = now();
  for (int i = 0; i < client_total; i++) {
    client_t *client = &clients[i];
    if (client->state != ESTABLISHED || client->out_length > 0) continue;
    client_put(client, keepalive, message_header(keepalive, 19, 4));
    client_flush(client);
  }
}

void clients_spin(int milliseconds) {
  struct epoll_event events[256];
  int count = epoll_wait(poll_fd, events, 256, milliseconds);
  for (int i = 0; i < count; i++) {
    client_t *client = events[i].data.ptr;
    if (client->state == CONNECTING && events[i].events & (EPOLLOUT | EPOLLERR)) connected(client);
    if (events[i].events & EPOLLIN) readable(client);
    if (events[i].events & EPOLLOUT) client_flush(client);
  }
  if (now() - last_keepalive > HOLD_SECONDS / 3.0) send_keepalives();
}

double clients_connect(void) {
  double start = now();
  int dialled = 0;
  last_keepalive = start;
  while (established < client_total) {
    while (dialled < client_total && dialled - established < DIAL_WINDOW) dial(&clients[dialled++]);
    clients_spin(20);
    if (now() - start > options.timeout) fail("only %d of %d sessions were Established in %d s", established, client_total, options.timeout);
  }
  return now() - start;
}

/* From here on time is measured: every listener waits until it holds what the model says. */
void phase_begin(void) {
  phase_start = now();
  waits = 0;
  for (int i = 0; i < client_total; i++) {
    client_t *client = &clients[i];
    if (!client->is_sink) continue;
    if (!client->held) {
      client->held = calloc((size_t)told_slots() * prefix_count(), sizeof *client->held);
      if (options.add_path) client->path_id = calloc((size_t)told_slots() * prefix_count(), sizeof *client->path_id);
    }
    model_wanted(client->id, &client->want_digest, &client->want_count);
    client->done_at = 0;
    if (client->reads_from == 0) waits++;
    finish_if_done(client);
  }
  for (int i = 0; i < client_total; i++)
    if (clients[i].out_length > 0 || clients[i].reads_from > 0) client_flush(&clients[i]);
}
int phase_waits(void) { return waits; }
int stalled_waits(void) {
  client_t *client = &clients[client_total - 1];
  if (client->reads_from == 0 || client->done_at != 0) return 0;
  watch(client, EPOLL_CTL_MOD); /* reads again once its time has come */
  return 1;
}
