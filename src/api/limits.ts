/** Every bound of this door in one place (what happens at each is said where it is used, and in README.md). */
export const limits = {
  /** A topology file of 1000 nodes is about 200 kB. Beyond it: 413. */
  bodyOctets: 4 * 1024 * 1024,
  /** Request line and headers together. Beyond it Node answers 431. */
  headerOctets: 8 * 1024,
  /** Whole request read within this time, else 408. */
  requestMillis: 10_000,
  keepAliveMillis: 5_000,
  /** A plan or an apply that waits longer for the store is answered with 503. */
  answerMillis: 30_000,
  /** Open connections; further ones are closed at once. */
  connections: 256,
  /** Routes of one answer: asked for more, 400; not asked, `routesDefault`. `total` always counts all. */
  routes: 10_000,
  routesDefault: 1_000,
  /** Characters of one query parameter. */
  parameterLength: 256,
  /** Open event streams; a further one is refused with 503. */
  eventStreams: 64,
  /** Octets one slow event reader may leave unread before it is told `lagged`. */
  eventBacklogOctets: 256 * 1024,
  /** Changes are gathered for this long and told as one event. */
  eventGapMillis: 250,
  /** A silent stream carries a comment this often, so that a reader that died is found. */
  eventHeartbeatMillis: 15_000,
  /** On stop: open requests may finish for this long. */
  stopMillis: 1_000,
} as const;
