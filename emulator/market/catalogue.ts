/**
 * The seeded market: machines and the slots (slices of GPUs) that they offer. Made once from the seed, never
 * changed; what happens to a slot later is in the slot records and in nature.ts.
 */
import { type Cpu, DESKTOP_CPUS, DISKS, DRIVERS, GPU_MODELS, type GpuModel, PLACES, SERVER_CPUS } from "./hardware.ts";
import { between, hash, pick, round } from "./random.ts";

export interface Machine {
  id: number;
  hostId: number;
  gpu: GpuModel;
  gpuCount: number;
  cpu: Cpu;
  cpuCores: number;
  cpuRamMB: number;
  disk: { name: string; bandwidth: number; spaceGB: number };
  place: string;
  verification: "verified" | "unverified" | "deverified";
  reliability: number;
  hostingType: number;
  driver: string;
  cuda: number;
  inetUpMbps: number;
  inetDownMbps: number;
  /** US$/GB. */
  inetUpCost: number;
  inetDownCost: number;
  /** US$/GB/month. */
  storageCost: number;
  directPorts: number;
  staticIp: boolean;
  publicIp: string;
  osVersion: string;
  /** Seconds after the market's birth at which the host takes the machine off. */
  endsAfter: number;
  listedBefore: number;
  gpuLanes: number;
  pcieBandwidth: number;
}

/** A slice of a machine that can be rented as one. */
export interface Slot {
  index: number;
  machine: Machine;
  bundleId: number;
  gpuIds: number[];
  /** US$/h for all its GPUs, on demand, before the walk of prices. */
  basePrice: number;
  /** Where the best rival bid usually lies, as a share of the price on demand. */
  bidShare: number;
}

export interface Catalogue {
  seed: number;
  machines: Machine[];
  slots: Slot[];
}

const DAY = 86_400;

/** About 120 slots over some 75 machines; the same for the same seed. */
export function generateCatalogue(seed: number): Catalogue {
  const machines: Machine[] = [];
  const slots: Slot[] = [];
  for (const gpu of GPU_MODELS) {
    for (const cuts of gpu.machines) {
      const machine = makeMachine(
        seed,
        7001 + machines.length,
        gpu,
        cuts.reduce((sum, n) => sum + n, 0),
      );
      machines.push(machine);
      let next = 0;
      for (const count of cuts) {
        slots.push(makeSlot(seed, slots.length, machine, next, count));
        next += count;
      }
    }
  }
  return { seed, machines, slots };
}

function makeMachine(seed: number, id: number, gpu: GpuModel, gpuCount: number): Machine {
  const random = (what: string) => hash(seed, what, id);
  const isServer = gpuCount >= 4 || gpu.price[0] >= 0.6;
  const isDatacenter = isServer && random("hosting") < 0.6;
  const verification = verificationOf(random("verification"));
  const cpu = pick(isServer ? SERVER_CPUS : DESKTOP_CPUS, random("cpu"));
  const sockets = gpuCount >= 8 && cpu.cores < 200 ? 2 : 1;
  // New cards need new drivers: Blackwell does not run on anything older than 570.
  const drivers = gpu.computeCap >= 1000 ? DRIVERS.slice(4) : DRIVERS;
  const [driver, cuda] = pick(drivers, 1 - random("driver") ** 1.6);
  const [diskName, diskBandwidth] = pick(DISKS, random("disk"));
  const ramPerGpu = Math.max(32, Math.ceil((gpu.ramMB / 1024) * between(1.3, 2.6, random("ram"))));
  const isFast = isDatacenter || random("line") < 0.5;
  return {
    id,
    hostId: 300 + Math.floor(random("host") * 60),
    gpu,
    gpuCount,
    cpu,
    cpuCores: cpu.cores * sockets,
    cpuRamMB: Math.max(64, ramPerGpu * gpuCount) * 1007,
    disk: {
      name: diskName,
      bandwidth: round(diskBandwidth * between(0.7, 1.05, random("diskbw")), 1),
      spaceGB: Math.round(between(120, 700, random("space")) * Math.max(1, gpuCount / 2)),
    },
    place: placeOf(random("place")),
    verification,
    reliability: reliabilityOf(verification, random("reliability")),
    hostingType: isDatacenter ? 1 : 0,
    driver,
    cuda,
    inetUpMbps: round(between(isFast ? 400 : 20, isFast ? 4000 : 300, random("up") ** 2), 1),
    inetDownMbps: round(between(isFast ? 500 : 60, isFast ? 6500 : 600, random("down") ** 2), 1),
    inetUpCost: round(between(0.001, 0.02, random("upcost") ** 2), 5),
    inetDownCost: round(between(0.0005, 0.012, random("downcost") ** 2), 5),
    storageCost: round(between(0.1, 0.3, random("storage") ** 1.5), 4),
    directPorts: random("ports") < 0.06 ? 0 : Math.round(between(20, 250, random("portcount"))),
    staticIp: isDatacenter || random("static") < 0.4,
    publicIp: `203.0.113.${1 + ((id - 7001) % 254)}`,
    osVersion: random("os") < 0.7 ? "22.04" : "24.04",
    endsAfter: Math.round(
      (random("short") < 0.06 ? between(0.3, 2, random("end")) : between(6, 180, random("end"))) * DAY,
    ),
    listedBefore: Math.round(between(3, 400, random("listed")) * DAY),
    gpuLanes: random("lanes") < 0.2 ? 8 : 16,
    pcieBandwidth: round((gpu.pciGen === 5 ? 46 : 23.5) * between(0.5, 1, random("pcie")), 1),
  };
}

function makeSlot(seed: number, index: number, machine: Machine, firstGpu: number, count: number): Slot {
  const [low, high] = machine.gpu.price;
  // A host with a poor name or no verification has to be cheaper.
  const goodwill = machine.verification === "verified" ? 1 : 0.85;
  const perGpu = between(low, high, hash(seed, "price", machine.id)) * goodwill;
  return {
    index,
    machine,
    bundleId: 501 + index,
    gpuIds: Array.from({ length: count }, (_, i) => firstGpu + i),
    basePrice: round(perGpu * count, 4),
    bidShare: between(0.42, 0.72, hash(seed, "bidshare", index)),
  };
}

function verificationOf(random: number): Machine["verification"] {
  if (random < 0.8) return "verified";
  return random < 0.96 ? "unverified" : "deverified";
}

function reliabilityOf(verification: Machine["verification"], random: number): number {
  if (verification === "verified")
    return round(random < 0.12 ? between(0.86, 0.95, random / 0.12) : between(0.955, 0.9995, random), 5);
  return round(between(0.55, 0.985, random), 5);
}

function placeOf(random: number): string {
  const total = PLACES.reduce((sum, [, weight]) => sum + weight, 0);
  let left = random * total;
  for (const [place, weight] of PLACES) {
    left -= weight;
    if (left < 0) return place;
  }
  return (PLACES[0] as readonly [string, number])[0];
}
