/**
 * One bridge per emulator and one veth pair per machine. The machines' network namespaces have no names: they are
 * made by bwrap, entered by pid, and vanish with the machine's last process, so a crash can leak none.
 * Bridge ports are isolated from each other and machines get no default route: a machine reaches the bridge's
 * address and nothing else. IPv6 stays off, or link-local addresses would be a way around that.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { UserError } from "../../common/errors.ts";
import { homeHash } from "./processes.ts";
import {
  addressAt,
  chooseSubnet,
  FIRST_MACHINE,
  hostNumber,
  LAST_MACHINE,
  overlap,
  PREFIX,
  parseRoutes,
  parseSubnet,
  type Subnet,
} from "./subnet.ts";
import { runTool } from "./tools.ts";

export interface Link {
  /** Name of the veth's end on this computer; the machine's end is eth0. */
  name: string;
  address: string;
}

export interface MachineNetwork {
  /** The bridge's own address: where machines find the market's API. */
  readonly gateway: string;
  /** Connects the network namespace of process `pid` and brings eth0 up in it. */
  connect(pid: number): Promise<Link>;
  /** Keeps a running machine's address from being given away. */
  adopt(link: Link): void;
  disconnect(link: Link): Promise<void>;
  /** Removes every link of this emulator that belongs to none of its machines. */
  sweep(): Promise<void>;
  /** Removes the bridge and all links. */
  remove(): Promise<void>;
}

interface Address {
  ifname: string;
  addr_info: { local: string; prefixlen: number }[];
}

/** Makes the emulator's bridge, or takes over the one that an earlier daemon with this home has left. */
export async function createNetwork(home: string, tools: { ip: string; nsenter: string }): Promise<MachineNetwork> {
  // The longest link name is this plus two characters; Linux allows 15.
  const bridge = `vl${homeHash(home)}`;
  const subnet = (await existingSubnet(tools.ip, bridge)) ?? (await createBridge(tools.ip, bridge));
  const gateway = addressAt(subnet, 1);
  const used = new Map<string, Link>();
  let next = FIRST_MACHINE;

  function takeAddress(): Link {
    for (let attempt = FIRST_MACHINE; attempt <= LAST_MACHINE; attempt++) {
      const host = next;
      next = next === LAST_MACHINE ? FIRST_MACHINE : next + 1;
      const link = { name: `${bridge}${host.toString(36)}`, address: addressAt(subnet, host) };
      if (used.has(link.name) || existsSync(`/sys/class/net/${link.name}`)) continue;
      used.set(link.name, link);
      return link;
    }
    throw new UserError("VL_EMULATOR_FAILED", { what: "All 1021 network addresses of the emulator are in use." });
  }

  return {
    gateway,
    async connect(pid) {
      const link = takeAddress();
      const created = await batch(
        tools.ip,
        [],
        [
          `link add name ${link.name} type veth peer name eth0 address ${hardwareAddress(link.address)} netns ${pid}`,
          `link set dev ${link.name} addrgenmode none master ${bridge} up`,
          `link set dev ${link.name} type bridge_slave isolated on`,
          // No ARP: a request that meets the port before it forwards is repeated only after a second.
          `neighbour replace ${link.address} lladdr ${hardwareAddress(link.address)} dev ${bridge} nud permanent`,
        ],
      );
      const raised =
        created ??
        (await batch(
          tools.nsenter,
          [`--net=/proc/${pid}/ns/net`, tools.ip],
          [`address add ${link.address}/${PREFIX} dev eth0`, "link set dev eth0 addrgenmode none up"],
        ));
      if (raised === undefined) return link;
      used.delete(link.name);
      throw new Error(`the network of a machine could not be made: ${raised}`);
    },
    adopt(link) {
      used.set(link.name, link);
      next = Math.max(next, Math.min(hostNumber(subnet, link.address) + 1, LAST_MACHINE));
    },
    async disconnect(link) {
      // The kernel removes the pair by itself soon after the namespace; asking makes it happen now.
      if (existsSync(`/sys/class/net/${link.name}`)) await removeLinks(tools.ip, [link.name]);
      used.delete(link.name);
    },
    async sweep() {
      await removeLinks(
        tools.ip,
        linksOf(bridge).filter((name) => name !== bridge && !used.has(name)),
      );
    },
    async remove() {
      await removeLinks(tools.ip, linksOf(bridge));
    },
  };
}

async function existingSubnet(ip: string, bridge: string): Promise<Subnet | undefined> {
  if (!existsSync(`/sys/class/net/${bridge}`)) return undefined;
  const own = (await addresses(ip)).find((one) => one.ifname === bridge)?.addr_info[0];
  if (own && own.prefixlen === PREFIX) return { base: parseSubnet(own.local).base - 1, prefix: PREFIX };
  await removeLinks(ip, linksOf(bridge)); // a crash in the middle of its creation
  return undefined;
}

async function createBridge(ip: string, bridge: string): Promise<Subnet> {
  const taken = await takenSubnets(ip, bridge);
  const seed = createHash("sha256").update(bridge).digest().readUInt32BE();
  const subnet = chooseSubnet(seed, taken);
  if (!subnet) {
    throw new UserError("VL_EMULATOR_FAILED", {
      what: "No private network range is free for the emulated machines.",
      why: "Every candidate in 10/8, 172.16/12 and 198.18/15 overlaps a network of this computer.",
      hint: "Start the emulator with --plain, which needs no network of its own.",
    });
  }
  const failure = await batch(
    ip,
    [],
    [
      // A fixed hardware address: a bridge otherwise takes its ports' lowest, and changes it under the machines' ARP caches.
      `link add name ${bridge} address 02:76:${bridge.slice(2).replace(/(..)(?=.)/g, "$1:")} type bridge forward_delay 0 mcast_snooping 0`,
      `link set dev ${bridge} addrgenmode none`,
      `address add ${addressAt(subnet, 1)}/${PREFIX} dev ${bridge}`,
      `link set dev ${bridge} up`,
    ],
  );
  if (failure !== undefined) throw new Error(`the bridge ${bridge} could not be made: ${failure}`);
  disableIpv6(bridge);
  const others = (await takenSubnets(ip, bridge)).filter((other) => overlap(subnet, other));
  if (others.length === 0) return subnet;
  // Another emulator chose the same range in the same moment; the next look sees its bridge.
  await removeLinks(ip, [bridge]);
  return createBridge(ip, bridge);
}

async function takenSubnets(ip: string, except: string): Promise<Subnet[]> {
  const own = await addresses(ip);
  const networks = own
    .filter((one) => one.ifname !== except)
    .flatMap((one) => one.addr_info.map((info) => parseSubnet(`${info.local}/${info.prefixlen}`)));
  const routes = readFileSync("/proc/net/route", "utf8")
    .split("\n")
    .filter((line) => !line.startsWith(`${except}\t`));
  return [...networks, ...parseRoutes(routes.join("\n"))];
}

async function addresses(ip: string): Promise<Address[]> {
  const { status, output } = await runTool(ip, ["-json", "-4", "address", "show"]);
  if (status !== 0) throw new Error(`ip address show: ${output}`);
  return JSON.parse(output || "[]") as Address[];
}

/** Follows from the IP address, so that its neighbour entry stays true when another machine gets the address later. */
function hardwareAddress(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "76", ...bytes].join(":");
}

function linksOf(bridge: string): string[] {
  return readdirSync("/sys/class/net").filter((name) => name.startsWith(bridge));
}

async function removeLinks(ip: string, names: string[]): Promise<void> {
  if (names.length === 0) return;
  // -force: goes on after "Cannot find device", which means that the kernel was faster.
  await batch(
    ip,
    ["-force"],
    names.map((name) => `link delete dev ${name}`),
  );
}

/** Runs the lines as one `ip` process; the failure's text, or undefined when all went well. */
async function batch(program: string, args: string[], lines: string[]): Promise<string | undefined> {
  const { status, output } = await runTool(program, [...args, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  return status === 0 ? undefined : output.trim();
}

function disableIpv6(bridge: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`, "1");
  } catch {
    // No IPv6 in this kernel, or /proc/sys is read-only (a container); addrgenmode none already gives no address.
  }
}
