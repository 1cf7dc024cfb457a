/** `podway ip`: pod addresses of the node that answers. */
import type { Command } from "commander";
import {
  type AddressCheckView,
  type AddressQuery,
  type AddressView,
  type AllocateRequest,
  type AllocationView,
  type AuditView,
  podPaths,
  type PoolView,
  type WhoView,
} from "#daemon/pod-control.ts";
import { wrap } from "./display-text.ts";
import { addressTable, auditTable, checkLines, poolTable } from "./ip-screen.ts";
import { prettyJson, Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

export function addIpVerbs(program: Command): void {
  const ip = program.command("ip").description("pod addresses of this node: who has them, allocate, release, reserve, check");
  addQuestions(ip);
  addSteps(ip);
  addKeeping(ip);
}

function addQuestions(ip: Command): void {
  ip.command("list")
    .description("addresses that are not simply free")
    .option("--pool <name>", "only of this pool")
    .option("--owner <name>", "only of this owner")
    .option("--node <name>", "only of this node")
    .option("--namespace <name>", "only of this namespace or tenant")
    .action(async ({ pool, owner, node, namespace }: AddressQuery, command: Command) => {
      const render = (addresses: readonly AddressView[], terminal: Terminal): string[] => addressTable(addresses, terminal);
      return new Session(command).show({ path: podPaths.addresses, query: { pool, owner, node, namespace }, render });
    });
  ip.command("pools")
    .description("pools, this node's part of each, and how full it is")
    .action(async (_options: unknown, command: Command) =>
      new Session(command).show({ path: podPaths.pools, render: (pools: readonly PoolView[], terminal) => poolTable(pools, terminal) }),
    );
  ip.command("who")
    .argument("<address>", "a pod's address")
    .description("who has an address, and why")
    .action(async (address: string, _options: unknown, command: Command) =>
      new Session(command).show({ path: podPaths.addressWho, query: { address }, render: ({ text }: WhoView, { width }) => wrap(text, width) }),
    );
  ip.command("audit")
    .description("what happened to addresses beside their pods' will: moved to another node, taken by force, lost")
    .action(async (_options: unknown, command: Command) =>
      new Session(command).show({ path: podPaths.addressesAudit, render: (trail: readonly AuditView[], terminal) => auditTable(trail, terminal) }),
    );
  ip.command("check")
    .description("compare addresses with the living namespaces of this machine: leaks and doubles")
    .option("--repair", "mend what is certain")
    .action(async ({ repair }: { repair?: true }, command: Command) => {
      const render = (view: AddressCheckView, terminal: Terminal): string[] => checkLines(view, terminal);
      return tell(command, (session) => session.client.post(podPaths.addressesCheck, { repair: repair === true }), render);
    });
}

interface Allocating {
  readonly ifname: string;
  readonly pool?: string[];
  readonly address?: string[];
  readonly owner?: string;
  readonly namespace?: string;
}

function addSteps(ip: Command): void {
  ip.command("allocate")
    .argument("<container>", "id under which it is held")
    .description("take addresses without a link, for a link of your own")
    .option("--ifname <name>", "interface of the container", "eth0")
    .option("--pool <name...>", "pools to take one address from each")
    .option("--address <address...>", "exactly these")
    .option("--owner <name>", "who gets it back next time")
    .option("--namespace <name>", "namespace or tenant")
    .action(async (containerId: string, { ifname, pool, address, owner, namespace }: Allocating, command: Command) => {
      const request: AllocateRequest = {
        containerId,
        ifname,
        ...(pool && { pools: pool }),
        ...(address && { addresses: address }),
        ...(owner !== undefined && { owner }),
        ...(namespace !== undefined && { namespace }),
      };
      const render = ({ addresses }: AllocationView): string[] => addresses.map((each) => `${each.address}/${each.length} of pool ${each.pool}`);
      return tell(command, (session) => session.client.post(podPaths.addresses, request), render);
    });
  ip.command("release")
    .argument("<address>", "a pod's address")
    .description("free an address")
    .option("--force", "also if a container is attached with it: its link goes too")
    .action(async (address: string, { force }: { force?: true }, command: Command) => {
      const render = ({ released }: { readonly released: readonly string[] }): string[] => [
        released.length === 0 ? `${address} was free already` : `${address} is released`,
      ];
      return tell(command, (session) => session.client.delete(podPaths.addresses, { address, force }), render);
    });
}

function addKeeping(ip: Command): void {
  ip.command("reserve")
    .argument("<address>", "an address of this node's CIDRs")
    .description("keep an address from everybody, or for one owner")
    .option("--owner <name>", "for this owner's pods")
    .option("--reason <words>", "why, for people")
    .action(async (address: string, { owner, reason }: { owner?: string; reason?: string }, command: Command) => {
      const body = { address, ...(owner !== undefined && { owner }), ...(reason !== undefined && { reason }) };
      return tell(
        command,
        (session) => session.client.post(podPaths.addressesReserve, body),
        (view: AddressView) => [`${view.address} is reserved`],
      );
    });
  ip.command("unreserve")
    .argument("<address>", "a reserved, kept or quarantined address")
    .description("end a reservation, or the wait of a free address")
    .action(async (address: string, _options: unknown, command: Command) => {
      const render = ({ found }: { readonly found: boolean }): string[] => [found ? `${address} is free again` : `${address} was not reserved`];
      return tell(command, (session) => session.client.post(podPaths.addressesUnreserve, { address }), render);
    });
}

/** Asks once and prints the answer, as JSON if that is wanted. */
async function tell<T>(command: Command, ask: (session: Session) => Promise<unknown>, render: (view: T, terminal: Terminal) => string[]): Promise<void> {
  const session = new Session(command),
    answer = await ask(session);
  session.print(session.json ? [prettyJson(answer)] : render(answer as T, session.terminal));
}
