/** What a test asks of somebody else's BGP speaker. One file per speaker turns it into that speaker's own words. */
import type { Announcement } from "./client.ts";
import type { Network } from "./network.ts";
import type { Field, Route } from "./route.ts";

export interface Setup {
  readonly theirAs: number;
  /** AS they believe us to be. */
  readonly ourAs: number;
  readonly transport: 4 | 6;
  readonly families: readonly ("ipv4" | "ipv6")[];
  readonly holdSeconds: number;
  readonly md5?: string;
  readonly gtsm?: true;
  /** Restart time they offer; no graceful restart if absent. */
  readonly restartSeconds?: number;
  /** Long-lived stale time they offer beside it. */
  readonly longLivedSeconds?: number;
  /** Their role towards us (RFC 9234). */
  readonly role?: "provider" | "customer" | "peer";
  readonly twoOctetAs?: true;
  readonly maxPrefixes?: number;
  /** Several paths of one prefix, in both directions. */
  readonly addPath?: true;
  /** IPv4 routes may have an IPv6 next hop. */
  readonly ipv6NextHop?: true;
  /** They only wait for us. */
  readonly passive?: true;
  /** What they announce themselves. */
  readonly announces: readonly Announcement[];
}

/** Where its process and files are. */
export interface Place {
  readonly network: Network;
  /** Its host in the network. */
  readonly host: string;
  /** The host we are on. */
  readonly ours: string;
  readonly directory: string;
}

export interface Speaker {
  readonly name: string;
  readonly version: string;
  /** Fields of a route its interface shows. */
  readonly shows: readonly Field[];
  /** Reflects to and from our client number 2, whose address it has as a passive neighbour of its own AS. */
  readonly reflects: boolean;
  /** What it does not do, and how that is known. It is tried all the same where it can be. */
  readonly lacks: Readonly<Partial<Record<Ability, string>>>;
  /** What it makes of a route on its way to us, where that is not what the RFCs say; the text says what. */
  readonly oddity?: Oddity;
  start(setup: Setup): Promise<void>;
  /** After a kill: starts again, as a restarting speaker if it has a way to say so. */
  restart(setup: Setup): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** What it holds of what we sent. */
  rib(family: "ipv4" | "ipv6"): Promise<readonly Route[]>;
  /** Of those, the prefixes it keeps as stale; undefined if its interface does not tell. */
  stale?(family: "ipv4" | "ipv6"): Promise<readonly string[]>;
  /** Makes it ask us to send everything again. */
  refresh(): Promise<void>;
  /** Closes the session with this text for the other side's operator. */
  shutdown(text: string): Promise<void>;
  enable(): Promise<void>;
  isEstablished(): Promise<boolean>;
  /** What it says about the session, to look for our texts in. */
  session(): Promise<string>;
}

export interface Oddity {
  readonly text: string;
  /** `source`: the speaker itself, or its client. */
  tells(route: Route, source: "own" | "client"): Route;
}

export type Ability =
  | "helper"
  | "prefix limit"
  | "shutdown text"
  | "hold 0"
  | "refresh"
  | "refresh answer"
  | "gtsm accepting"
  | "md5 accepting"
  | "two-octet aggregator";
