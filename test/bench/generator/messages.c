/* The messages to send. Everything announced or withdrawn is told to the model at the same time. */
#include "generator.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *put16(uint8_t *out, uint32_t value) { return *out++ = value >> 8, *out++ = value, out; }
static uint8_t *put32(uint8_t *out, uint32_t value) { return put16(put16(out, value >> 16), value & 0xffff); }

size_t message_header(uint8_t *out, size_t length, int type) {
  memset(out, 0xff, 16);
  put16(out + 16, length);
  out[18] = type;
  return length;
}

size_t write_open(uint8_t *out, int id, int hold, int add_path) {
  uint8_t *at = out + 19;
  *at++ = 4;
  at = put32(put16(put16(at, options.as < 65536 ? options.as : 23456), hold), FIRST_ID + id);
  uint8_t *length = at++;
  *at++ = 2;
  uint8_t *parameter = at++;
  *at++ = 1, *at++ = 4, at = put16(at, options.family == 4 ? 1 : 2), at = put16(at, 1);
  *at++ = 65, *at++ = 4, at = put32(at, options.as);
  *at++ = 2, *at++ = 0;
  if (add_path) *at++ = 69, *at++ = 4, at = put16(at, options.family == 4 ? 1 : 2), *at++ = 1, *at++ = 1; /* receive */
  *parameter = at - parameter - 1;
  *length = at - length - 1;
  return message_header(out, at - out, 1);
}

/* As many UPDATEs as it takes. */
void announce(int injector, uint32_t set, const uint32_t *indices, size_t count) {
  size_t length, done = 0;
  const uint8_t *attributes = set_bytes(set, &length);
  while (done < count) {
    uint8_t message[LONGEST + 64], *at = message + 19;
    at = put16(at, 0);
    uint8_t *total = at, *reach = NULL;
    at += 2;
    if (options.family == 6) { /* MP_REACH_NLRI first (RFC 7606 §5.1) */
      *at++ = 0x90, *at++ = 14, reach = at, at += 2;
      at = put16(at, 2), *at++ = 1, *at++ = 16;
      next_hop6(injector, at);
      at += 16, *at++ = 0;
    } else memcpy(at, attributes, length), at += length, put16(total, length);
    uint8_t *limit = message + LONGEST - 17 - (reach ? length : 0);
    for (; done < count && at <= limit; done++) {
      at += prefix_write(indices[done], at);
      model_announce(injector, indices[done], set);
    }
    if (reach) {
      put16(reach, at - reach - 2);
      memcpy(at, attributes, length), at += length;
      put16(total, at - total - 2);
    }
    client_put(&clients[injector], message, message_header(message, at - message, 2));
  }
}

void withdraw(int injector, const uint32_t *indices, size_t count) {
  for (size_t done = 0; done < count;) {
    uint8_t message[LONGEST + 64], *at = message + 21, *reach = NULL;
    if (options.family == 6) at = put16(message + 19, 0), at += 2, *at++ = 0x90, *at++ = 15, reach = at, at += 2, at = put16(at, 2), *at++ = 1;
    for (; done < count && at <= message + LONGEST - 20; done++) {
      at += prefix_write(indices[done], at);
      model_withdraw(injector, indices[done]);
    }
    if (reach) put16(reach, at - reach - 2), put16(message + 21, at - message - 23);
    else put16(message + 19, at - message - 21), at = put16(at, 0);
    client_put(&clients[injector], message, message_header(message, at - message, 2));
  }
}

/* A distinct set for each group of prefixes: 2 to 6 hops and two communities; in a mesh what a node says of its own CIDRs. */
static size_t synthetic_attributes(uint8_t *out, uint32_t group, int injector) {
  uint8_t *at = out;
  uint32_t hops = options.mesh ? 0 : 2 + group % 5;
  *at++ = 0x40, *at++ = 1, *at++ = 1, *at++ = 0;
  *at++ = 0x40, *at++ = 2, *at++ = hops ? 2 + 4 * hops : 0;
  if (hops) *at++ = 2, *at++ = hops;
  for (uint32_t h = 0; h < hops; h++) at = put32(at, 3000 + (group * 7919u + h * 104729u) % 60000);
  if (options.family == 4) *at++ = 0x40, *at++ = 3, *at++ = 4, at = put32(at, FIRST_NEXT_HOP + injector);
  *at++ = 0x40, *at++ = 5, *at++ = 4, at = put32(at, 100);
  if (options.mesh) return at - out;
  *at++ = 0xc0, *at++ = 8, *at++ = 8, at = put32(at, 3000u << 16 | (group & 0xffff));
  at = put32(at, 3001u << 16 | (group >> 16 & 0xffff));
  return at - out;
}

void load_synthetic(void) {
  uint32_t step = options.mesh ? options.per_client : options.group, indices[512];
  if (step > 512) fail("at most 512 prefixes may share a set");
  for (int injector = 0; injector < options.injectors; injector++) {
    uint32_t first = options.mesh ? injector * step : 0, end = options.mesh ? first + step : options.table;
    for (uint32_t at = first; at < end; at += step) {
      uint8_t attributes[256];
      uint32_t count = end - at < step ? end - at : step;
      for (uint32_t i = 0; i < count; i++) indices[i] = at + i;
      size_t length = synthetic_attributes(attributes, options.mesh ? (uint32_t)injector : at / step, injector);
      announce(injector, set_intern(attributes, length, injector), indices, count);
    }
  }
}

/* Copies attributes, with another next hop and AS path: the second injector's view of a recorded route. `change` puts an AS
 * in front (1), takes the first away (-1) or leaves the path (0). */
static size_t altered(const uint8_t *from, size_t length, uint32_t next_hop, int change, uint8_t *out) {
  uint8_t *to = out;
  for (const uint8_t *at = from, *end = from + length; at < end;) {
    size_t head = at[0] & 0x10 ? 4 : 3, size = head == 4 ? (size_t)(at[2] << 8 | at[3]) : at[2];
    const uint8_t *value = at + head;
    if (at[1] == 3 && next_hop) memcpy(to, at, head), put32(to + head, next_hop), to += head + 4;
    else if (at[1] == 2 && change < 0 && size >= 10 && value[0] == 2 && value[1] >= 2) {
      *to++ = 0x50, *to++ = 2, to = put16(to, size - 4), *to++ = 2, *to++ = value[1] - 1;
      memcpy(to, value + 6, size - 6), to += size - 6;
    } else if (at[1] == 2 && change > 0) {
      int joins = size >= 6 && value[0] == 2 && value[1] < 255;
      *to++ = 0x50, *to++ = 2, to = put16(to, size + (joins ? 4 : 6)), *to++ = 2, *to++ = joins ? value[1] + 1 : 1, to = put32(to, 64999);
      memcpy(to, value + (joins ? 2 : 0), size - (joins ? 2 : 0)), to += size - (joins ? 2 : 0);
    } else memcpy(to, at, head + size), to += head + size;
    at = value + size;
  }
  return to - out;
}

static void load_message(const uint8_t *body, const uint8_t *end) {
  static uint32_t indices[LONGEST];
  size_t count = 0;
  const uint8_t *at = body + 2, *gone = at + (body[0] << 8 | body[1]), *attributes = gone + 2;
  const uint8_t *nlri = attributes + (gone[0] << 8 | gone[1]);
  for (; at < gone; at += 1 + (at[0] + 7) / 8) indices[count++] = prefix_index(at, 1);
  for (int i = 0; count && i < options.injectors; i++) withdraw(i, indices, count);
  for (count = 0, at = nlri; at < end; at += 1 + (at[0] + 7) / 8) indices[count++] = prefix_index(at, 1);
  scan_t scan;
  attributes_scan(attributes, nlri, &scan);
  if (!count || scan.is_refusable) return; /* nothing to measure: the speaker must or may refuse it */
  uint32_t set = set_intern(attributes, nlri - attributes, 0);
  announce(0, set, indices, count);
  for (int i = 1; i < options.injectors; i++) {
    uint8_t other[LONGEST + 64];
    size_t length = altered(attributes, nlri - attributes, FIRST_NEXT_HOP + i, (int)(set % 3) - 1, other);
    announce(i, set_intern(other, length, i), indices, count);
  }
}

/* A file of whole BGP messages, four-octet AS numbers. Read twice: the model needs to know how many prefixes there are. */
void load_recorded(const char *file) {
  static uint8_t *all;
  static size_t length;
  int counts = !all;
  if (counts) {
    FILE *in = fopen(file, "rb");
    if (!in || fseek(in, 0, SEEK_END)) fail("cannot read the feed %s", file);
    length = ftell(in);
    rewind(in);
    all = malloc(length);
    if (fread(all, 1, length, in) != length) fail("cannot read the feed %s", file);
    fclose(in);
  }
  for (size_t at = 0, size; at + 19 <= length; at += size) {
    size = all[at + 16] << 8 | all[at + 17];
    if (size < 23 || at + size > length) fail("the feed is no sequence of UPDATEs at octet %zu", at);
    const uint8_t *body = all + at + 19, *end = all + at + size, *nlri = body + 2 + (body[0] << 8 | body[1]);
    if (!counts) load_message(body, end);
    else for (nlri += 2 + (nlri[0] << 8 | nlri[1]); nlri < end; nlri += 1 + (nlri[0] + 7) / 8) prefix_index(nlri, 1);
  }
}

static uint32_t *loaded; /* [slot][index]: what stands there when the load is over */
static uint64_t chance;
static uint64_t churned;

void remember_loaded(void) {
  size_t size = (size_t)model_slots() * prefix_count();
  loaded = malloc(size * sizeof *loaded);
  for (uint32_t s = 0, n = 0; s < model_slots(); s++)
    for (uint32_t i = 0; i < prefix_count(); i++) loaded[n++] = model_set(s, i);
}
static uint64_t draw(void) {
  chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
  return chance;
}
void churn_begin(void) { chance = options.seed * 0x9e3779b97f4a7c15u | 1; }

/* Withdraws, announces again or changes one path after another, as many as `elapsed` seconds ask for. */
uint64_t churn_tick(double elapsed) {
  uint64_t due = elapsed * options.churn_rate * prefix_count();
  for (; churned < due; churned++) {
    uint32_t index = draw() % prefix_count(), slot = draw() % model_slots(), set = loaded[(size_t)slot * prefix_count() + index];
    int injector = model_injector(slot, index), kind = draw() % 3;
    if (!set || clients[injector].out_length - clients[injector].out_offset > 1u << 20) continue;
    if (kind == 0) withdraw(injector, &index, 1);
    else if (kind == 1) announce(injector, set, &index, 1);
    else {
      uint8_t other[LONGEST + 64];
      size_t length;
      const uint8_t *bytes = set_bytes(set, &length);
      length = altered(bytes, length, 0, draw() & 1 ? 1 : -1, other);
      announce(injector, set_intern(other, length, injector), &index, 1);
    }
  }
  return churned;
}

/* Everything as it was after the load. */
void churn_undo(void) {
  for (uint32_t slot = 0; slot < model_slots(); slot++)
    for (uint32_t index = 0; index < prefix_count(); index++) {
      uint32_t set = loaded[(size_t)slot * prefix_count() + index];
      if (set && model_set(slot, index) != set) announce(model_injector(slot, index), set, &index, 1);
    }
}

/* The best injector of a table, or one client in ten of a mesh, takes everything back. */
void put_withdrawals(void) {
  static uint32_t indices[1u << 22];
  for (int injector = 0; injector < options.injectors; injector++) {
    if (options.mesh ? injector % 10 != 0 : injector != 0) continue;
    uint32_t count = 0, slot = options.mesh ? 0 : injector;
    uint32_t first = options.mesh ? injector * options.per_client : 0, end = options.mesh ? first + options.per_client : prefix_count();
    for (uint32_t index = first; index < end; index++)
      if (model_set(slot, index)) indices[count++] = index;
    withdraw(injector, indices, count);
  }
}
