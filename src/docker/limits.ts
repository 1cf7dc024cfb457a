/** Every bound of this door in one place. */
export const limits = {
  /** A request of dockerd is some hundred octets; one with a thousand published ports 150 kB. */
  bodyOctets: 1024 * 1024,
  headerOctets: 8 * 1024,
  /** Whole request read within this time. */
  requestMillis: 10_000,
  /** dockerd waits with its start for a plugin: what takes longer is answered as not possible now. */
  answerMillis: 12_000,
  connections: 64,
  /** Networks: each has a gateway of its own, 169.254.1.1 to 169.254.1.254. */
  networks: 254,
  idCharacters: 128,
  /** Published ports of one container. */
  ports: 1024,
  /** The socket is somebody else's: tried again. */
  retryMillis: 5_000,
  stopMillis: 1_000,
  /** dockerd sends a request again for at most 30 s; an address given for the same MAC longer ago is another container's. */
  againSeconds: 60,
} as const;
