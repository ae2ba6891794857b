/** Offers, contracts and requests for tests: sensible ones, and fast-check's arbitrary ones. */
import fc from "fast-check";
import { parseConfig, type StackConfig } from "../../infra/config.ts";
import type { MachineSpec } from "../../infra/vast/lifecycle.ts";
import type { RentRequest } from "../../infra/vast/offers.ts";
import type { Contract, Offer } from "../../infra/vast/wire.ts";

export function offerOf(changes: Partial<Offer> = {}): Offer {
  return {
    id: 1,
    machineId: 101,
    hostId: 11,
    gpuName: "RTX 4090",
    gpuCount: 1,
    gpuRamMB: 24564,
    cudaVersion: 12.8,
    reliability: 0.99,
    isVerified: true,
    geolocation: "Oslo, NO",
    downMbps: 900,
    downUsdPerGB: 0,
    upUsdPerGB: 0,
    diskSpaceGB: 500,
    directPorts: 10,
    durationS: 30 * 86400,
    gpuPricePerHour: 0.4,
    minBidPerHour: 0.2,
    diskUsdPerGBMonth: 0.18,
    dlPerf: 90,
    ...changes,
  };
}

/** A bid that runs; its disk costs $0.01/h. */
export function contractOf(changes: Partial<Contract> = {}): Contract {
  return {
    id: 5001,
    machineId: 101,
    hostId: 11,
    label: null,
    actualStatus: "running",
    intendedStatus: "running",
    curState: "running",
    statusMessage: "success, running",
    isBid: true,
    minBidPerHour: 0.2,
    gpuPricePerHour: 0.22,
    diskPricePerHour: 0.01,
    diskGB: 40,
    gpuName: "RTX 4090",
    gpuCount: 1,
    gpuRamMB: 24564,
    cudaVersion: 12.8,
    reliability: 0.99,
    isVerified: true,
    geolocation: "Oslo, NO",
    downMbps: 900,
    image: "ubuntu:22.04",
    gpuUtilPercent: 0,
    startedAt: Date.UTC(2026, 0, 1) / 1000,
    sshUser: "root",
    addresses: [{ kind: "direct", host: "203.0.113.10", port: 40022 }],
    ...changes,
  };
}

type Section<K extends keyof StackConfig> = Partial<StackConfig[K]>;

/** The defaults of configuration with changes; what it asks of the market is a 40 GB bid of at most $1/h. */
export function requestOf(
  changes: { gpu?: Section<"gpu">; rental?: Section<"rental">; diskGB?: number; minHours?: number } = {},
): RentRequest {
  const { gpu, rental } = parseConfig({ gpu: changes.gpu ?? {}, rental: changes.rental ?? {} });
  return { gpu, rental, diskGB: changes.diskGB ?? 40, minHours: changes.minHours ?? 24 };
}

export function rentalOf(changes: Section<"rental"> = {}): StackConfig["rental"] {
  return parseConfig({ rental: changes }).rental;
}

/** The machine `main` of the scope `scope1`, as a stack asks for it. */
export const machineSpec: MachineSpec = {
  scope: "scope1",
  name: "main",
  requestHash: "hash1",
  request: requestOf(),
  image: "ubuntu:22.04",
  env: {},
  onstart: () => "true",
  publicKey: "ssh-ed25519 AAAA me",
  loadingTimeoutMinutes: 10,
};

const GPUS = ["RTX 3090", "RTX 4090", "RTX 5090", "A100 SXM4", "H100 SXM"];
const PLACES = ["Oslo, NO", "Quebec, CA", "Texas, US", "SE", ""];
/** Cents rather than any fraction: ties and exact limits must come up. */
const price = fc.integer({ min: 1, max: 400 }).map((cents) => cents / 100);

export const anyOffer: fc.Arbitrary<Offer> = fc
  .record({
    machineId: fc.integer({ min: 1, max: 40 }),
    hostId: fc.option(fc.integer({ min: 1, max: 10 })),
    gpuName: fc.constantFrom(...GPUS),
    gpuCount: fc.constantFrom(1, 1, 1, 2, 4, 8),
    gpuRamMB: fc.constantFrom(12288, 24564, 32607, 81559),
    cudaVersion: fc.constantFrom(11.8, 12.1, 12.4, 12.8, 13),
    reliability: fc.integer({ min: 0, max: 1000 }).map((it) => it / 1000),
    isVerified: fc.boolean(),
    geolocation: fc.constantFrom(...PLACES),
    downMbps: fc.integer({ min: 0, max: 2000 }),
    downUsdPerGB: fc.constantFrom(0, 0.001, 0.02),
    upUsdPerGB: fc.constantFrom(0, 0.001, 0.02),
    diskSpaceGB: fc.integer({ min: 0, max: 1000 }),
    durationS: fc.integer({ min: 0, max: 60 * 86400 }),
    gpuPricePerHour: price,
    minBidPerHour: fc.oneof(price, fc.constantFrom(0, 0.0004)),
    diskUsdPerGBMonth: fc.constantFrom(0, 0.1, 0.25),
  })
  .map((it) => offerOf(it));

/** A market's answer: every id once. */
export const anyOffers: fc.Arbitrary<Offer[]> = fc
  .array(anyOffer, { maxLength: 25 })
  .map((offers) => offers.map((offer, i) => ({ ...offer, id: i + 1 })));

export const anyRequest: fc.Arbitrary<RentRequest> = fc
  .record({
    gpu: fc.record({
      names: fc.subarray([...GPUS, "rtx_4090", "NVIDIA H100 SXM"]),
      count: fc.constantFrom(1, 1, 1, 2),
      minVramGB: fc.constantFrom(0, 12, 24, 80),
      minCuda: fc.constantFrom("0", "12", "12.4", "12.8"),
      minReliability: fc.constantFrom(0, 0.5, 0.95),
      verified: fc.boolean(),
      geolocation: fc.subarray(["no", "CA", "US"]),
      minDownMbps: fc.constantFrom(0, 100, 1000),
      exclude: fc.record({
        machines: fc.subarray([1, 2, 3, 4, 5, 6, 7, 8]),
        hosts: fc.subarray([1, 2]),
      }),
    }),
    rental: fc.record({
      type: fc.constantFrom("on-demand" as const, "interruptible" as const),
      maxPricePerHour: price,
      bid: fc.oneof(fc.constant("auto" as const), price),
    }),
    diskGB: fc.integer({ min: 1, max: 400 }),
    minHours: fc.constantFrom(0, 1, 24, 240),
  })
  .map((it) => it);
