/* Options, phases, one line of JSON. Times are seconds from the first octet of the phase to the last listener that holds
 * exactly what the model says it must hold. */
#define _GNU_SOURCE
#include "generator.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

options_t options = {.family = 4, .injectors = 1, .sinks = 1, .port = 179, .timeout = 120, .withdraw = 1, .table = 100000, .group = 5,
  .per_client = 4, .as = 65000, .cluster = 0x0affff01, .churn_rate = 0.01, .settle = 2, .seed = 1, .speaker = "127.0.0.1"};

static FILE *line; /* the answer, collected so that a failure prints nothing else */
static char *line_text;
static size_t line_length;

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
void fail(const char *format, ...) {
  char text[1000];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  printf("{\"error\":\"%s\"}\n", text);
  exit(1);
}
void *more(void *block, size_t have, size_t *room, size_t want, size_t each) {
  (void)have;
  if (want <= *room) return block;
  *room = *room * 2 > want ? *room * 2 : want + 64;
  block = realloc(block, *room * each);
  if (!block) fail("out of memory");
  return block;
}

/* Resident and peak memory and CPU time of the processes under test. */
typedef struct { double cpu, rss, peak; } usage_t;
static usage_t usage(void) {
  usage_t u = {0};
  char *list = strdup(options.pids ? options.pids : "");
  for (char *pid = strtok(list, ","); pid; pid = strtok(NULL, ",")) {
    char path[64], line[1024];
    long kilobytes;
    unsigned long user, system;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(line, sizeof line, file) && sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
      u.cpu += (user + system) / (double)sysconf(_SC_CLK_TCK);
    fclose(file);
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
      if (sscanf(line, "VmRSS: %ld", &kilobytes) == 1) u.rss += kilobytes / 1024.0;
      if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) u.peak += kilobytes / 1024.0;
    }
    if (file) fclose(file);
  }
  free(list);
  return u;
}

static void idle(double seconds) {
  for (double until = now() + seconds; now() < until;) clients_spin(20);
}
/* Lets the caller look at the speaker between two phases: it answers with a line when it has. */
static void reached(const char *phase) {
  if (!options.ask) return;
  char line[64];
  fprintf(stderr, "%s\n", phase);
  while (!fgets(line, sizeof line, stdin)) fail("nobody answers");
}

/* Names one prefix that a listener holds and should not, or the other way round. */
static void too_late(const char *phase) {
  for (int i = 0; i < client_total; i++) {
    client_t *client = &clients[i];
    if (!client->is_sink || client->done_at != 0) continue;
    for (uint32_t at = 0; at < told_slots() * prefix_count(); at++) {
      uint32_t index = at % prefix_count(), slot = at / prefix_count(), told = model_told(slot, index);
      if (told == client->held[at] || (options.mesh && model_injector(slot, index) == client->id)) continue;
      const char *what = !told ? "still holds a route to" : client->held[at] ? "holds a wrong route to" : "lacks";
      fail("%s: not finished in %d s; client %d holds %u of %u and %s %s", phase, options.timeout, client->id, client->count, client->want_count, what, prefix_text(index));
    }
  }
  fail("%s: not finished in %d s", phase, options.timeout);
}
/* Ends when all are done but the client that does not read; answers the slowest one's time. */
static double run(const char *phase) {
  model_settle();
  phase_begin();
  while (phase_waits() > 0) {
    clients_spin(20);
    if (now() - phase_start > options.timeout) too_late(phase);
  }
  double slowest = 0;
  for (int i = 0; i < client_total; i++)
    if (clients[i].is_sink && clients[i].reads_from == 0 && clients[i].done_at > slowest) slowest = clients[i].done_at;
  return slowest;
}
static double run_stalled(void) {
  client_t *client = &clients[client_total - 1];
  while (stalled_waits()) {
    clients_spin(20);
    if (now() > client->reads_from + options.timeout) too_late("the client that had stopped reading");
  }
  double after = phase_start + client->done_at - client->reads_from;
  client->reads_from = 0;
  return after;
}

static void churn(double *took, uint64_t *changes) {
  churn_begin();
  double start = now();
  while (now() - start < options.churn) {
    *changes = churn_tick(now() - start);
    for (int i = 0; i < options.injectors; i++)
      if (clients[i].out_length > 0) client_flush(&clients[i]);
    clients_spin(5);
  }
  *took = run("churn");
}

static void read_options(int argc, char **argv) {
  enum { MESH = 1, CLIENTS, PER, TABLE, INJECTORS, SINKS, GROUP, SPEAKER, PORT, AS, TIMEOUT, PIDS, KEEP, FAMILY, STALL, WATCH, PATHS, FEED, CHURN, RATE, SEED, ASK, SETTLE };
  static const struct option names[] = {{"mesh", 0, 0, MESH}, {"clients", 1, 0, CLIENTS}, {"per-client", 1, 0, PER}, {"table", 1, 0, TABLE},
    {"injectors", 1, 0, INJECTORS}, {"sinks", 1, 0, SINKS}, {"group", 1, 0, GROUP}, {"speaker", 1, 0, SPEAKER}, {"port", 1, 0, PORT}, {"as", 1, 0, AS},
    {"timeout", 1, 0, TIMEOUT}, {"pids", 1, 0, PIDS}, {"no-withdraw", 0, 0, KEEP}, {"family", 1, 0, FAMILY}, {"stall", 1, 0, STALL},
    {"watch-hold", 1, 0, WATCH}, {"add-path", 0, 0, PATHS}, {"feed", 1, 0, FEED}, {"churn", 1, 0, CHURN}, {"churn-rate", 1, 0, RATE},
    {"seed", 1, 0, SEED}, {"ask", 0, 0, ASK}, {"settle", 1, 0, SETTLE}, {0}};
  for (int c; (c = getopt_long(argc, argv, "", names, 0)) > 0;) switch (c) {
    case MESH: options.mesh = 1; break;
    case CLIENTS: options.clients = atoi(optarg); break;
    case PER: options.per_client = atoi(optarg); break;
    case TABLE: options.table = atoi(optarg); break;
    case INJECTORS: options.injectors = atoi(optarg); break;
    case SINKS: options.sinks = atoi(optarg); break;
    case GROUP: options.group = atoi(optarg); break;
    case SPEAKER: options.speaker = optarg; break;
    case PORT: options.port = atoi(optarg); break;
    case AS: options.as = atoi(optarg); break;
    case TIMEOUT: options.timeout = atoi(optarg); break;
    case PIDS: options.pids = optarg; break;
    case KEEP: options.withdraw = 0; break;
    case FAMILY: options.family = atoi(optarg); break;
    case STALL: options.stall = atof(optarg); break;
    case WATCH: options.watch_hold = atoi(optarg); break;
    case PATHS: options.add_path = 1; break;
    case FEED: options.feed = optarg; break;
    case CHURN: options.churn = atof(optarg); break;
    case RATE: options.churn_rate = atof(optarg); break;
    case SEED: options.seed = atoll(optarg); break;
    case ASK: options.ask = 1; break;
    case SETTLE: options.settle = atof(optarg); break;
    default: fprintf(stderr, "generator: see test/bench/README.md for the options\n"), exit(2);
  }
  if (options.mesh) options.injectors = options.sinks = options.clients, options.table = options.clients * options.per_client;
  else options.clients = options.injectors + options.sinks;
  if (options.clients < 2 || options.clients > 60000 || options.injectors < 1) fail("there must be at least one injector and one listener");
}

static void print(const char *name, double value) { fprintf(line, ",\"%s\":%.4f", name, value); }
static void print_end(usage_t idle_usage, usage_t loaded) {
  uint64_t updates = 0, announced = 0, withdrawn = 0;
  struct rusage own;
  getrusage(RUSAGE_SELF, &own);
  for (int i = 0; i < client_total; i++) updates += clients[i].updates, announced += clients[i].announced, withdrawn += clients[i].withdrawn;
  print("idleMegabytes", idle_usage.rss);
  print("loadedMegabytes", loaded.rss);
  print("peakMegabytes", usage().peak);
  print("generatorCpuSeconds", own.ru_utime.tv_sec + own.ru_stime.tv_sec + (own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6);
  fprintf(line, ",\"updates\":%llu,\"announced\":%llu,\"withdrawn\":%llu,\"capabilities\":[%s]", (unsigned long long)updates, (unsigned long long)announced, (unsigned long long)withdrawn, capabilities);
  if (options.add_path) fprintf(line, ",\"addPath\":\"%s\"", speaker_offers_paths ? "offered" : "not offered");
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  struct rlimit files = {65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  if (options.feed) prefixes_recorded(), load_recorded(options.feed);
  else prefixes_synthetic(options.table);
  model_open(prefix_count());
  clients_open();
  double up = clients_connect();
  if (options.watch_hold) watcher_start(options.clients);
  idle(options.settle);
  if (options.add_path && !speaker_offers_paths) return printf("{\"addPath\":\"not offered\",\"capabilities\":[%s]}\n", capabilities), 0;
  usage_t before = usage();
  if (options.feed) load_recorded(options.feed);
  else load_synthetic();
  remember_loaded();
  if (options.stall) {
    clients[client_total - 1].reads_from = now() + options.stall;
    clients[client_total - 1].tellings = calloc(prefix_count(), 1);
  }
  reached("ready");
  watcher_reset();
  double load = run("load");
  usage_t loaded = usage();
  double load_cpu = usage().cpu - before.cpu;
  line = open_memstream(&line_text, &line_length);
  if (options.stall == 0) idle(1), load_cpu = usage().cpu - before.cpu; /* it may still be working after the listeners are full */
  fprintf(line, "\"clients\":%d,\"routes\":%u,\"paths\":%u,\"upSeconds\":%.4f,\"loadSeconds\":%.4f,\"loadCpuSeconds\":%.2f", client_total, prefix_count(), model_slots(), up, load, load_cpu);
  fprintf(line, ",\"digest\":\"%016llx\"", (unsigned long long)clients[client_total - 1].want_digest);
  if (options.stall) {
    double after = run_stalled();
    uint32_t most = 0;
    for (uint32_t i = 0; i < prefix_count(); i++) most = clients[client_total - 1].tellings[i] > most ? clients[client_total - 1].tellings[i] : most;
    print("stalledSeconds", after);
    fprintf(line, ",\"mostTellings\":%u", most);
  }
  reached("loaded");
  if (options.churn) {
    double took;
    uint64_t changes = 0;
    double cpu = usage().cpu;
    churn(&took, &changes);
    print("churnSettleSeconds", took);
    fprintf(line, ",\"churnChanges\":%llu,\"churnCpuSeconds\":%.2f,\"churnedMegabytes\":%.1f", (unsigned long long)changes, usage().cpu - cpu, usage().rss);
    churn_undo();
    print("undoSeconds", run("undoing the churn"));
    idle(1);
    print("undoneMegabytes", usage().rss);
    reached("undone");
  }
  if (options.watch_hold) {
    watched_t seen = watcher_read();
    if (!seen.is_up || seen.failed) fail("the client with a hold time of %d s lost its session", options.watch_hold);
    print("keepaliveGapSeconds", seen.keepalive_gap);
    print("messageGapSeconds", seen.message_gap);
    fprintf(line, ",\"keepalives\":%llu", (unsigned long long)seen.keepalives);
  }
  if (options.withdraw) {
    double cpu = usage().cpu;
    put_withdrawals();
    print("withdrawSeconds", run("withdraw"));
    idle(0.5);
    print("withdrawCpuSeconds", usage().cpu - cpu);
    reached("withdrawn");
  }
  print_end(before, loaded);
  fclose(line);
  printf("{%s}\n", line_text);
  return 0;
}
