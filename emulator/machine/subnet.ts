/**
 * Choosing a private network for one emulator's machines: pure arithmetic on IPv4 numbers.
 * A /22 gives 1021 addresses, which machines take in turn.
 */

/** A network as two numbers: its first address and the length of its prefix. */
export interface Subnet {
  base: number;
  prefix: number;
}

export const PREFIX = 22;
const BLOCK = 2 ** (32 - PREFIX);

/** Private and test ranges, in the order in which they are tried. The last is that of RFC 2544, seldom in use. */
const RANGES = ["10.0.0.0/8", "172.16.0.0/12", "198.18.0.0/15"];
const TRIES_PER_RANGE = 128;

/** The first /22 that overlaps nothing in `taken`, starting at a place that follows from `seed`; undefined when all do. */
export function chooseSubnet(seed: number, taken: Subnet[]): Subnet | undefined {
  for (const range of RANGES.map(parseSubnet)) {
    const blocks = 2 ** (PREFIX - range.prefix);
    for (let attempt = 0; attempt < Math.min(TRIES_PER_RANGE, blocks); attempt++) {
      // 37 is coprime to the power of two, so that successive tries visit different blocks.
      const block = (seed + attempt * 37) % blocks;
      const candidate = { base: range.base + block * BLOCK, prefix: PREFIX };
      if (!taken.some((other) => overlap(candidate, other))) return candidate;
    }
  }
  return undefined;
}

/** The address with this number inside the subnet; 1 is the bridge, machines have 2 to 1022. */
export function addressAt(subnet: Subnet, host: number): string {
  return formatAddress(subnet.base + host);
}

export function hostNumber(subnet: Subnet, address: string): number {
  return parseAddress(address) - subnet.base;
}

export const FIRST_MACHINE = 2;
export const LAST_MACHINE = BLOCK - 2;

export function overlap(a: Subnet, b: Subnet): boolean {
  const size = 2 ** (32 - Math.min(a.prefix, b.prefix));
  return Math.floor(a.base / size) === Math.floor(b.base / size);
}

export function parseSubnet(text: string): Subnet {
  const [address = "", prefix = "32"] = text.split("/");
  return { base: parseAddress(address), prefix: Number(prefix) };
}

/** The routes of /proc/net/route, but for the default route, which overlaps everything and forbids nothing. */
export function parseRoutes(table: string): Subnet[] {
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length >= 8)
    .map((fields) => ({ base: littleEndian(fields[1]), prefix: countBits(littleEndian(fields[7])) }))
    .filter((route) => route.prefix > 0);
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

function parseAddress(text: string): number {
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

function littleEndian(hex = "0"): number {
  return Buffer.from(hex.padStart(8, "0"), "hex").readUInt32LE();
}

function countBits(mask: number): number {
  return mask.toString(2).replaceAll("0", "").length;
}
