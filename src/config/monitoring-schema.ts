/** `monitoring:`, who is shown what the speakers hear and hold: BMP stations and MRT files. */
import { z } from "zod";
import { Selector } from "./peer-schema.ts";
import { AbsolutePath, Address, Name, Port, duration } from "./scalar-schema.ts";
import { limits } from "./limits.ts";

const Bmp = z.strictObject({
  name: Name.meta({ description: "Name in `status` and logs." }),
  address: Address.meta({ description: "The station's address; each selected node connects to it." }),
  port: Port.default(1790).meta({ description: "Port the station listens on." }),
  source: Address.optional().meta({ description: "Our address of the connection; if left out, the kernel chooses." }),
  nodes: Selector.optional().meta({ description: "Which nodes connect, such as `rack == 'a'`; all if left out." }),
  views: z
    .array(z.enum(["pre-policy", "loc-rib"]))
    .min(1)
    .default(["pre-policy", "loc-rib"])
    .meta({ description: "`pre-policy`: what peers send, as they send it (RFC 7854). `loc-rib`: the chosen paths (RFC 9069)." }),
  statistics: duration(1, 86_400).prefault("60s").meta({ description: "How often counts are reported." }),
});

const Mrt = z.strictObject({
  name: Name.meta({ description: "Name in `status` and logs." }),
  directory: AbsolutePath.meta({ description: "Folder the files are written to; made if it is not there." }),
  nodes: Selector.optional().meta({ description: "Which nodes write; all if left out." }),
  tables: duration(10, 604_800).optional().meta({ description: "A dump of every path this often (`rib.…`); none if left out." }),
  updates: z.boolean().default(false).meta({ description: "Write what peers send as it comes (`updates.…`)." }),
  rotate: duration(10, 604_800).prefault("15m").meta({ description: "A new `updates` file this often." }),
  keep: z.int().min(1).max(100_000).default(96).meta({ description: "Files of each kind that stay; the oldest go." }),
});

export const Monitoring = z
  .strictObject({
    bmp: z.array(Bmp).max(limits.monitors).prefault([]).meta({ description: "Stations of the BGP Monitoring Protocol (RFC 7854)." }),
    mrt: z.array(Mrt).max(limits.monitors).prefault([]).meta({ description: "Folders of MRT files (RFC 6396)." }),
  })
  .prefault({})
  .meta({ description: "Who is shown what the speakers hear and hold." });
