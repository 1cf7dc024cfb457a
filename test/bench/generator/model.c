/* What every client has announced, and by a plain decision process what each listener must hold: the reference that the
 * digests of the listeners are compared with. It knows nothing of the speaker and shares no code with it. */
#include "generator.h"
#include <stdlib.h>

static uint32_t total, slots;
static uint32_t *paths; /* [slot][index]: set, 0 for none */
static uint32_t *told;  /* [slot][index]: as `model_told` */
static uint64_t all_digest, *own_digest;
static uint32_t all_count, *own_count;

void model_open(uint32_t count) {
  total = count;
  slots = options.mesh ? 1 : options.injectors;
  paths = calloc((size_t)slots * total, sizeof *paths);
  told = calloc((size_t)told_slots() * total, sizeof *told);
  own_digest = calloc(options.clients, sizeof *own_digest);
  own_count = calloc(options.clients, sizeof *own_count);
}
uint32_t model_slots(void) { return slots; }
uint32_t told_slots(void) { return options.add_path ? slots : 1; }
int model_injector(uint32_t slot, uint32_t index) { return options.mesh ? (int)(index / options.per_client) : (int)slot; }

static uint32_t *place(int injector, uint32_t index) { return &paths[(options.mesh ? 0 : (size_t)injector * total) + index]; }
void model_announce(int injector, uint32_t index, uint32_t set) { *place(injector, index) = set; }
void model_withdraw(int injector, uint32_t index) { *place(injector, index) = 0; }
uint32_t model_set(uint32_t slot, uint32_t index) { return paths[(size_t)slot * total + index]; }
uint32_t model_told(uint32_t slot, uint32_t index) { return told[(size_t)slot * total + index]; }

/* Order-independent: a digest is the sum over everything held. */
uint64_t contribution(uint32_t slot_index, uint32_t held) {
  uint64_t x = ((uint64_t)slot_index << 32 | held) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return x ^ x >> 32;
}

/* RFC 4271 §9.1.2.2 up to ORIGIN. Below 0: a is preferred. */
static int compare_rank(const scan_t *a, const scan_t *b) {
  if (a->local_pref != b->local_pref) return a->local_pref > b->local_pref ? -1 : 1;
  if (a->as_length != b->as_length) return a->as_length - b->as_length;
  return a->origin - b->origin;
}
/* c) among those equal in rank: one of the same neighbouring AS with a lower MED takes a path out. */
static int falls_by_med(uint32_t slot, uint32_t index) {
  const scan_t *mine = set_scan(model_set(slot, index));
  for (uint32_t s = 0; s < slots; s++) {
    uint32_t set = model_set(s, index);
    if (s == slot || !set) continue;
    const scan_t *other = set_scan(set);
    if (compare_rank(mine, other) == 0 && other->neighbor_as == mine->neighbor_as && other->med < mine->med) return 1;
  }
  return 0;
}
/* f) and RFC 4456 §9: identifier of the originator, length of the CLUSTER_LIST, address of the peer (they ascend with the slot). */
static int compare_rest(uint32_t a, uint32_t b, uint32_t index) {
  const scan_t *x = set_scan(model_set(a, index)), *y = set_scan(model_set(b, index));
  uint32_t p = x->has_originator ? x->originator : FIRST_ID + a, q = y->has_originator ? y->originator : FIRST_ID + b;
  if (p != q) return p < q ? -1 : 1;
  if (x->clusters != y->clusters) return x->clusters - y->clusters;
  return a < b ? -1 : 1;
}
static int best_slot(uint32_t index) {
  int top = -1, best = -1;
  for (uint32_t s = 0; s < slots; s++) {
    uint32_t set = model_set(s, index);
    if (set && (top < 0 || compare_rank(set_scan(set), set_scan(model_set(top, index))) < 0)) top = s;
  }
  for (uint32_t s = 0; top >= 0 && s < slots; s++) {
    uint32_t set = model_set(s, index);
    if (!set || compare_rank(set_scan(set), set_scan(model_set(top, index))) != 0 || falls_by_med(s, index)) continue;
    if (best < 0 || compare_rest(s, best, index) < 0) best = s;
  }
  return best;
}

/* With ADD-PATH every path is told and stands in its own slot; without, the best one stands in slot 0. */
void model_settle(void) {
  all_digest = all_count = 0;
  for (int i = 0; i < options.clients; i++) own_digest[i] = own_count[i] = 0;
  for (uint32_t index = 0; index < total; index++) {
    int best = best_slot(index);
    for (uint32_t s = 0; s < told_slots(); s++) {
      uint32_t from = options.add_path ? s : (uint32_t)best, set = best < 0 ? 0 : model_set(from, index);
      uint32_t value = set ? set_told(set, model_injector(from, index)) : 0;
      told[(size_t)s * total + index] = value;
      if (!value) continue;
      uint64_t part = contribution(s * total + index, value);
      int injector = model_injector(from, index);
      all_digest += part, all_count++;
      own_digest[injector] += part, own_count[injector]++;
    }
  }
}
void model_wanted(int client, uint64_t *digest, uint32_t *count) {
  *digest = all_digest - own_digest[client];
  *count = all_count - own_count[client];
}
