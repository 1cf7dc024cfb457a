/* Path attributes: what they say, a hash that does not depend on their order or flags, and the sets announced so far. */
#include "generator.h"
#include <stdlib.h>
#include <string.h>

typedef struct { scan_t scan; size_t at; uint32_t length; } set_t;
static set_t *sets;
static size_t set_room, byte_room, byte_total;
static uint32_t set_total = 1; /* 0 means none */
static uint8_t *bytes;
static uint32_t *slots, slot_mask; /* set ids by hash */
static uint32_t *known, known_mask, known_total; /* everything a listener may be told */

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return x ^ x >> 32;
}
static uint64_t attribute_hash(int type, const uint8_t *value, size_t length) {
  uint64_t h = mix((uint64_t)type << 32 | length);
  for (; length >= 8; value += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, value, 8);
    h = mix(h ^ word);
  }
  for (; length > 0; value++, length--) h = mix(h ^ *value);
  return h;
}
static uint32_t read32(const uint8_t *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

/* Communities are a set: a speaker may sort them. */
static uint64_t communities_hash(const uint8_t *value, size_t length) {
  uint64_t sum = 0;
  for (size_t i = 0; i + 4 <= length; i += 4) sum += attribute_hash(8, value + i, 4);
  return sum;
}
static void scan_as_path(const uint8_t *value, size_t length, scan_t *out) {
  const uint8_t *end = value + length;
  if (length >= 6 && value[0] == 2) out->neighbor_as = read32(value + 2);
  for (; value + 2 <= end; value += 2 + 4 * value[1]) {
    out->as_length += value[0] == 2 ? value[1] : value[0] == 1;
    out->is_refusable |= value[0] != 2;
    for (const uint8_t *as = value + 2; as < value + 2 + 4 * value[1]; as += 4) out->is_refusable |= read32(as) == 0 || read32(as) == options.as;
  }
}

uint64_t originator_hash(uint32_t originator) {
  uint8_t octets[4] = {originator >> 24, originator >> 16, originator >> 8, originator};
  return attribute_hash(9, octets, 4);
}

void attributes_scan(const uint8_t *at, const uint8_t *end, scan_t *out) {
  memset(out, 0, sizeof *out);
  out->local_pref = 100;
  while (at + 3 <= end) {
    int type = at[1], extended = at[0] & 0x10;
    size_t length = extended ? (size_t)(at[2] << 8 | at[3]) : at[2];
    const uint8_t *value = at + (extended ? 4 : 3);
    if (value + length > end) fail("path attribute %d runs past the UPDATE", type);
    at = value + length;
    if (type == 10) { /* CLUSTER_LIST: what is told has the speaker's own in front */
      out->clusters = length / 4;
      out->first_cluster = length >= 4 ? read32(value) : 0;
      continue;
    }
    if (type == 15) {
      if (length >= 3) out->unreach = value + 3, out->unreach_end = at;
      continue;
    }
    if (type == 14) { /* the global next hop counts; a link-local one beside it is the speaker's affair */
      if (length < 5 || (size_t)value[3] + 5 > length) fail("MP_REACH_NLRI is too short");
      out->hash += attribute_hash(14, value + 4, value[3] == 32 ? 16 : value[3]);
      out->reach = value + 5 + value[3], out->reach_end = at;
      continue;
    }
    if (type == 4 && length == 4 && read32(value) == 0) continue; /* the same as none: a speaker may add it */
    if (type == 7 && length == 8 && read32(value) == 0) continue; /* to be discarded (RFC 7607 §2) */
    out->hash += type == 8 ? communities_hash(value, length) : attribute_hash(type, value, length);
    if (type == 1) out->origin = value[0];
    else if (type == 2) scan_as_path(value, length, out);
    else if (type == 4) out->med = read32(value);
    else if (type == 5) out->local_pref = read32(value);
    else if (type == 9) out->originator = read32(value), out->has_originator = 1;
  }
}

uint32_t told_of(const scan_t *scan) {
  uint64_t h = mix(scan->hash);
  uint32_t told = (uint32_t)(h ^ h >> 32);
  return told ? told : 1;
}
uint32_t set_told(uint32_t set, int injector) {
  scan_t scan = sets[set].scan;
  if (!scan.has_originator) scan.hash += originator_hash(FIRST_ID + injector);
  return told_of(&scan);
}

static void link_known(uint32_t told) {
  uint32_t s = told & known_mask;
  for (; known[s]; s = (s + 1) & known_mask)
    if (known[s] == told) return;
  known[s] = told, known_total++;
}
static void remember_told(uint32_t told) {
  if (known_total * 2 >= known_mask) {
    uint32_t *before = known, size = before ? known_mask + 1 : 0;
    known_mask = size ? size * 2 - 1 : 1023;
    known = calloc(known_mask + 1, sizeof *known), known_total = 0;
    for (uint32_t i = 0; i < size; i++)
      if (before[i]) link_known(before[i]);
    free(before);
  }
  link_known(told);
}
int told_is_known(uint32_t told) {
  for (uint32_t s = told & known_mask; known && known[s]; s = (s + 1) & known_mask)
    if (known[s] == told) return 1;
  return 0;
}

static void link_set(uint32_t id) {
  uint32_t s = (uint32_t)mix(sets[id].scan.hash) & slot_mask;
  while (slots[s]) s = (s + 1) & slot_mask;
  slots[s] = id;
}

/* The next hop of IPv6 stands in MP_REACH_NLRI, so a set is not complete without its announcer. */
uint32_t set_intern(const uint8_t *from, size_t length, int injector) {
  scan_t scan;
  attributes_scan(from, from + length, &scan);
  if (options.family == 6) {
    uint8_t hop[16];
    next_hop6(injector, hop);
    scan.hash += attribute_hash(14, hop, 16);
  }
  if (set_total * 2 >= slot_mask) {
    slot_mask = slot_mask ? slot_mask * 2 + 1 : 1023;
    free(slots);
    slots = calloc(slot_mask + 1, sizeof *slots);
    for (uint32_t id = 1; id < set_total; id++) link_set(id);
  }
  for (uint32_t s = (uint32_t)mix(scan.hash) & slot_mask; slots[s]; s = (s + 1) & slot_mask)
    if (sets[slots[s]].scan.hash == scan.hash) return remember_told(set_told(slots[s], injector)), slots[s];
  sets = more(sets, set_total, &set_room, set_total + 1, sizeof *sets);
  bytes = more(bytes, byte_total, &byte_room, byte_total + length, 1);
  memcpy(bytes + byte_total, from, length);
  sets[set_total] = (set_t){scan, byte_total, length};
  byte_total += length;
  link_set(set_total);
  remember_told(set_told(set_total, injector));
  return set_total++;
}
const scan_t *set_scan(uint32_t set) { return &sets[set].scan; }
const uint8_t *set_bytes(uint32_t set, size_t *length) {
  *length = sets[set].length;
  return bytes + sets[set].at;
}
void next_hop6(int injector, uint8_t *out) {
  static const uint8_t documentation[4] = {0x20, 0x01, 0x0d, 0xb8};
  memset(out, 0, 16);
  memcpy(out, documentation, 4);
  out[14] = (injector + 1) >> 8, out[15] = injector + 1;
}
