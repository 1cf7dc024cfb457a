/* Prefix <-> index. A synthetic table computes both ways; a recorded one keeps a hash table. */
#include "generator.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Synthetic prefixes are 2^20 neighbouring ones, 16.0.0.0/4 in /24 or 2401::/28 in /48, taken in scrambled order. */
enum { SPACE = 1u << 20, SLOTS = 1u << 22 };
static const uint32_t scrambler = 2654435761u; /* odd: a permutation modulo a power of two */
static uint32_t unscrambler = 1;
static int is_recorded;
static uint32_t total;

typedef struct { uint8_t nlri[17]; } recorded_t;
static recorded_t *recorded;
static size_t recorded_room;
static uint32_t *slots; /* index + 1 */

void prefixes_synthetic(uint32_t count) {
  if (count > SPACE) fail("a synthetic table has at most %u prefixes", SPACE);
  total = count;
  for (int i = 0; i < 5; i++) unscrambler *= 2 - scrambler * unscrambler; /* Newton: the inverse modulo 2^32 */
}
void prefixes_recorded(void) {
  is_recorded = 1;
  slots = calloc(SLOTS, sizeof *slots);
}
uint32_t prefix_count(void) { return total; }

static uint32_t find_recorded(const uint8_t *nlri, int make) {
  size_t size = 1 + (nlri[0] + 7) / 8;
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < size; i++) h = (h ^ nlri[i]) * 1099511628211u;
  for (uint32_t s = (h ^ h >> 29) & (SLOTS - 1);; s = (s + 1) & (SLOTS - 1)) {
    if (slots[s] == 0) {
      if (!make) return NO_INDEX;
      if (total > SLOTS / 2) fail("the feed has more than %u prefixes", SLOTS / 2);
      recorded = more(recorded, total, &recorded_room, total + 1, sizeof *recorded);
      memset(&recorded[total], 0, sizeof *recorded);
      memcpy(recorded[total].nlri, nlri, size);
      slots[s] = ++total;
      return total - 1;
    }
    if (memcmp(recorded[slots[s] - 1].nlri, nlri, size) == 0) return slots[s] - 1;
  }
}

uint32_t prefix_index(const uint8_t *nlri, int make) {
  if (is_recorded) return find_recorded(nlri, make);
  uint32_t place;
  if (options.family == 4) {
    if (nlri[0] != 24 || nlri[1] >> 4 != 1) return NO_INDEX;
    place = (uint32_t)(nlri[1] & 15) << 16 | nlri[2] << 8 | nlri[3];
  } else {
    if (nlri[0] != 48 || nlri[1] != 0x24 || nlri[2] != 1 || nlri[6] != 1) return NO_INDEX;
    place = (uint32_t)(nlri[3] & 15) << 16 | nlri[4] << 8 | nlri[5];
  }
  uint32_t index = (place * unscrambler) & (SPACE - 1);
  return index < total ? index : NO_INDEX;
}

size_t prefix_write(uint32_t index, uint8_t *out) {
  if (is_recorded) {
    size_t size = 1 + (recorded[index].nlri[0] + 7) / 8;
    memcpy(out, recorded[index].nlri, size);
    return size;
  }
  uint32_t place = (index * scrambler) & (SPACE - 1);
  if (options.family == 4) {
    out[0] = 24, out[1] = 16 | place >> 16, out[2] = place >> 8, out[3] = place;
    return 4;
  }
  out[0] = 48, out[1] = 0x24, out[2] = 1, out[3] = place >> 16, out[4] = place >> 8, out[5] = place, out[6] = 1;
  return 7;
}

const char *prefix_text(uint32_t index) {
  static char text[80];
  uint8_t nlri[18] = {0}, octets[16] = {0};
  prefix_write(index, nlri);
  memcpy(octets, nlri + 1, 16);
  char address[INET6_ADDRSTRLEN];
  inet_ntop(options.family == 4 ? AF_INET : AF_INET6, octets, address, sizeof address);
  snprintf(text, sizeof text, "%s/%d", address, nlri[0]);
  return text;
}
