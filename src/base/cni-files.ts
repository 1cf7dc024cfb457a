/** What `podway cni install` puts on a machine, asked and answered. */
export interface CniFilesQuestion {
  /** Folder in which runtimes look for plugins, and the one in which they look for networks. */
  readonly bin: string;
  readonly conf: string;
  readonly network: string;
  /** Control socket that the plugin asks. */
  readonly socket: string;
  readonly stateDirectory: string;
  /** Empty: the daemon chooses. */
  readonly pools: readonly string[];
}

export interface CniFilesAnswer {
  /** Paths that were written or removed; none: everything was as it should be. */
  readonly changed: readonly string[];
  /** Paths that are right as they are, or that are not ours and stay. */
  readonly unchanged: readonly string[];
}
