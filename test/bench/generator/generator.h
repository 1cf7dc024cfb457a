/* The load generator of the benchmarks: many iBGP clients of one speaker, each on its own loopback address.
 *
 *   main.c      options, the phases, the line of JSON
 *   prefixes.c  prefix <-> index
 *   sets.c      path attributes: what they say, and their hash
 *   model.c     what every client has announced, and therefore what each must have been told (the independent reference)
 *   messages.c  the UPDATEs to send: a synthetic table, a recorded feed, churn
 *   client.c    sessions: sockets, framing, what each was told
 *   watcher.c   one client with a short hold time on a thread of its own: how long it waits for a KEEPALIVE
 */
#ifndef GENERATOR_H
#define GENERATOR_H
#include <stddef.h>
#include <stdint.h>

enum { NO_INDEX = 0xffffffffu, FIRST_ID = 0x0a000001u, FIRST_NEXT_HOP = 0x0a010001u, LONGEST = 4096 };

typedef struct {
  int mesh, family, clients, injectors, sinks, port, timeout, add_path, second, withdraw, ask, watch_hold, window;
  uint32_t table, group, per_client, as, cluster;
  double stall, churn, churn_rate, settle;
  uint64_t seed;
  const char *feed, *pids, *speaker;
} options_t;
extern options_t options;

/* Ends the program with one line of JSON that says why. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
double now(void);
void *more(void *block, size_t have, size_t *room, size_t want, size_t each); /* grows a block by doubling */

/* prefixes.c */
void prefixes_synthetic(uint32_t count);
void prefixes_recorded(void);
uint32_t prefix_count(void);
uint32_t prefix_index(const uint8_t *nlri, int make); /* nlri: length octet, then as few octets as hold it */
size_t prefix_write(uint32_t index, uint8_t *out);
const char *prefix_text(uint32_t index);

/* sets.c */
typedef struct { /* what a scan of path attributes finds */
  uint64_t hash; /* over type and value of each but CLUSTER_LIST, in any order; flags do not count */
  uint32_t local_pref, med, neighbor_as, originator, first_cluster;
  uint16_t as_length, clusters;
  uint8_t origin, has_originator, is_refusable; /* is_refusable: an AS_SET (RFC 9774), AS 0 (RFC 7607) or the speaker's own AS in the path */
  const uint8_t *reach, *reach_end, *unreach, *unreach_end; /* NLRI within MP_REACH_NLRI and MP_UNREACH_NLRI */
} scan_t;
typedef struct { uint8_t bytes[LONGEST]; size_t length; } blob_t;
void attributes_scan(const uint8_t *at, const uint8_t *end, scan_t *out);
uint64_t originator_hash(uint32_t originator);
uint32_t set_intern(const uint8_t *bytes, size_t length, int injector); /* 1 and above */
const scan_t *set_scan(uint32_t set);
const uint8_t *set_bytes(uint32_t set, size_t *length);
uint32_t set_told(uint32_t set, int injector); /* what a listener holds once it was told the set; never 0 */
uint32_t told_of(const scan_t *scan);
int told_is_known(uint32_t told);
void next_hop6(int injector, uint8_t *out);

/* model.c */
void model_open(uint32_t count);
uint32_t model_slots(void); /* paths a prefix may have: one in a mesh, one for each injector otherwise */
uint32_t told_slots(void);  /* routes of a prefix that a listener is told: one, or with ADD-PATH all */
int model_injector(uint32_t slot, uint32_t index);
void model_announce(int injector, uint32_t index, uint32_t set);
void model_withdraw(int injector, uint32_t index);
uint32_t model_set(uint32_t slot, uint32_t index);
void model_settle(void); /* decides every prefix; then: */
void model_wanted(int client, uint64_t *digest, uint32_t *count);
uint32_t model_told(uint32_t slot, uint32_t index); /* what a listener must hold in that slot, or 0 */
uint64_t contribution(uint32_t slot_index, uint32_t told);

/* client.c */
typedef struct {
  int fd, id, state, is_sink, is_injector, takes_paths;
  uint8_t *tail; size_t tail_length;
  uint8_t *out; size_t out_length, out_room, out_offset;
  uint32_t *held; /* by slot and index: what it was told, 0 for nothing */
  uint32_t *path_id;
  uint8_t *tellings; /* of the client that stops reading: how often each prefix was announced to it since */
  uint64_t digest; uint32_t count;
  uint64_t want_digest; uint32_t want_count;
  uint64_t updates, announced, withdrawn;
  double done_at, reads_from;
} client_t;
extern client_t *clients;
extern int client_total;
extern double phase_start;
extern char capabilities[256];
extern int speaker_offers_paths;
void clients_open(void);
double clients_connect(void); /* seconds until all are Established */
void clients_spin(int milliseconds);
void client_flush(client_t *client);
void client_put(client_t *client, const void *bytes, size_t length);
void phase_begin(void);
int phase_waits(void);   /* how many are not done, the one that stopped reading left out */
int stalled_waits(void); /* 1 while the one that stopped reading is not done */

/* messages.c */
void announce(int injector, uint32_t set, const uint32_t *indices, size_t count);
void withdraw(int injector, const uint32_t *indices, size_t count);
void load_synthetic(void);
void load_recorded(const char *file);
void remember_loaded(void);
void churn_begin(void);
uint64_t churn_tick(double elapsed); /* answers how many changes were made in all */
void churn_undo(void);
void put_withdrawals(void);
size_t message_header(uint8_t *out, size_t length, int type);
size_t write_open(uint8_t *out, int id, int hold, int add_path);

/* watcher.c */
typedef struct { double keepalive_gap, message_gap; uint64_t keepalives; int is_up, failed; } watched_t;
void watcher_start(int id);
void watcher_reset(void);
watched_t watcher_read(void);
#endif
