/**
 * Which offer to rent: filter, expected cost and ranking. Pure: offers and a request in, a plan out.
 * The plan is printable and says why: what each candidate is expected to cost per useful hour, and which
 * condition ruled out how many of the others.
 */
import type { StackConfig } from "../config.ts";
import type { Contract, Offer } from "./wire.ts";

/** What is asked of the market: the parts of the configuration that choose a machine. */
export interface RentRequest {
  gpu: StackConfig["gpu"];
  rental: Pick<StackConfig["rental"], "type" | "maxPricePerHour" | "bid">;
  diskGB: number;
  /** The offer must last at least this long; 0: any. */
  minHours: number;
}

/** What the ranking assumes where nothing was measured yet. */
export interface CostModel {
  /** Work lost per interruption, in hours: half a checkpoint interval plus the time to be back at work. */
  lossPerInterruptionHours: number;
  /** Interruptions per hour of a bid exactly at the lowest winning price. */
  interruptionsPerHourAtFloor: number;
  /** Expected traffic in GB per hour down and up. */
  downGBPerHour: number;
  upGBPerHour: number;
  /** Relative speed by GPU name where measured; 1 otherwise. */
  speed: Record<string, number>;
}

/** Priors until the agent has measured: 5 minutes lost each time, one interruption in five hours at the floor. */
export const DEFAULT_COST_MODEL: CostModel = {
  lossPerInterruptionHours: 5 / 60,
  interruptionsPerHourAtFloor: 0.2,
  downGBPerHour: 1,
  upGBPerHour: 0.2,
  speed: {},
};

export interface Candidate {
  offer: Offer;
  /** USD per hour for the GPUs; null: on demand. */
  bidPerHour: number | null;
  /** What the bill says per hour while it runs: GPUs and disk. */
  pricePerHour: number;
  /** USD per hour of useful work, with traffic, reliability and interruptions counted in. */
  costPerUsefulHour: number;
}

export interface RentPlan {
  /** Best first. */
  candidates: Candidate[];
  offersSeen: number;
  /** Offers that fail a condition, counted for every condition that they fail. */
  rejections: { condition: string; wanted: string; count: number }[];
}

interface Condition {
  name: string;
  wanted(request: RentRequest): string;
  /** False when the request does not use the condition. */
  isUsed(request: RentRequest): boolean;
  holds(offer: Offer, request: RentRequest): boolean;
  /** What to write instead to let the offer in, as configuration text and as the request with it; undefined: nothing. */
  relax?(offer: Offer, request: RentRequest): { to: string; request: RentRequest } | undefined;
}

/** A relaxation of one key in `gpu`, `rental` or the request itself. */
const gpu = (request: RentRequest, change: Partial<RentRequest["gpu"]>): RentRequest => ({
  ...request,
  gpu: { ...request.gpu, ...change },
});
const rental = (request: RentRequest, change: Partial<RentRequest["rental"]>): RentRequest => ({
  ...request,
  rental: { ...request.rental, ...change },
});

const list = (values: readonly (string | number)[]) => values.join(", ");

/** Every reason to refuse an offer: one row each, used to filter, to explain and to relax. */
export const CONDITIONS: Condition[] = [
  {
    name: "gpu.names",
    wanted: ({ gpu }) => list(gpu.names),
    isUsed: ({ gpu }) => gpu.names.length > 0,
    holds: (offer, { gpu }) => gpu.names.length === 0 || gpu.names.some((name) => sameName(name, offer.gpuName)),
    relax: (offer, request) => ({
      to: `add ${offer.gpuName}`,
      request: gpu(request, { names: [...request.gpu.names, offer.gpuName] }),
    }),
  },
  {
    name: "gpu.count",
    wanted: ({ gpu }) => `${gpu.count}`,
    isUsed: () => true,
    holds: (offer, { gpu }) => offer.gpuCount === gpu.count,
    relax: (offer, request) =>
      offer.gpuCount > 0 ? { to: `${offer.gpuCount}`, request: gpu(request, { count: offer.gpuCount }) } : undefined,
  },
  {
    name: "gpu.minVramGB",
    wanted: ({ gpu }) => `at least ${gpu.minVramGB}`,
    isUsed: ({ gpu }) => gpu.minVramGB > 0,
    holds: (offer, { gpu }) => vramGB(offer) >= gpu.minVramGB,
    relax: (offer, request) => ({ to: `${vramGB(offer)}`, request: gpu(request, { minVramGB: vramGB(offer) }) }),
  },
  {
    name: "gpu.minCuda",
    wanted: ({ gpu }) => `at least ${gpu.minCuda}`,
    isUsed: ({ gpu }) => gpu.minCuda !== "0",
    holds: (offer, { gpu }) => compareVersions(String(offer.cudaVersion), gpu.minCuda) >= 0,
    relax: (offer, request) => ({
      to: `"${offer.cudaVersion}"`,
      request: gpu(request, { minCuda: `${offer.cudaVersion}` }),
    }),
  },
  {
    name: "gpu.minReliability",
    wanted: ({ gpu }) => `at least ${gpu.minReliability}`,
    isUsed: ({ gpu }) => gpu.minReliability > 0,
    holds: (offer, { gpu }) => offer.reliability >= gpu.minReliability,
    relax: (offer, request) => {
      const minReliability = Math.floor(offer.reliability * 1000) / 1000;
      return { to: `${minReliability}`, request: gpu(request, { minReliability }) };
    },
  },
  {
    name: "gpu.verified",
    wanted: () => "true",
    isUsed: ({ gpu }) => gpu.verified,
    holds: (offer, { gpu }) => !gpu.verified || offer.isVerified,
    relax: (_offer, request) => ({ to: "false", request: gpu(request, { verified: false }) }),
  },
  {
    name: "gpu.geolocation",
    wanted: ({ gpu }) => list(gpu.geolocation),
    isUsed: ({ gpu }) => gpu.geolocation.length > 0,
    holds: (offer, { gpu }) =>
      gpu.geolocation.length === 0 || gpu.geolocation.some((code) => code.toUpperCase() === countryOf(offer)),
    relax: (offer, request) => {
      const country = countryOf(offer);
      return country
        ? { to: `add ${country}`, request: gpu(request, { geolocation: [...request.gpu.geolocation, country] }) }
        : { to: "[]", request: gpu(request, { geolocation: [] }) };
    },
  },
  {
    name: "gpu.minDownMbps",
    wanted: ({ gpu }) => `at least ${gpu.minDownMbps}`,
    isUsed: ({ gpu }) => gpu.minDownMbps > 0,
    holds: (offer, { gpu }) => offer.downMbps >= gpu.minDownMbps,
    relax: (offer, request) => {
      const minDownMbps = Math.floor(offer.downMbps);
      return { to: `${minDownMbps}`, request: gpu(request, { minDownMbps }) };
    },
  },
  {
    name: "gpu.exclude",
    wanted: ({ gpu }) => `not machines ${list(gpu.exclude.machines)} nor hosts ${list(gpu.exclude.hosts)}`,
    isUsed: ({ gpu }) => gpu.exclude.machines.length + gpu.exclude.hosts.length > 0,
    holds: (offer, { gpu }) =>
      !gpu.exclude.machines.includes(offer.machineId) &&
      !(offer.hostId !== null && gpu.exclude.hosts.includes(offer.hostId)),
    // Not relaxed: what somebody has excluded by hand was meant.
  },
  {
    name: "machine.diskGB",
    wanted: ({ diskGB }) => `${diskGB} free`,
    isUsed: () => true,
    holds: (offer, { diskGB }) => offer.diskSpaceGB >= diskGB,
    relax: (offer, request) => {
      const diskGB = Math.floor(offer.diskSpaceGB);
      return diskGB >= 1 ? { to: `${diskGB}`, request: { ...request, diskGB } } : undefined;
    },
  },
  {
    name: "budget.maxHours",
    wanted: ({ minHours }) => `available for ${minHours} h`,
    isUsed: ({ minHours }) => minHours > 0,
    holds: (offer, { minHours }) => offer.durationS >= minHours * 3600,
    relax: (offer, request) => {
      const minHours = Math.floor(offer.durationS / 360) / 10;
      return minHours > 0 ? { to: `${minHours}`, request: { ...request, minHours } } : undefined;
    },
  },
  {
    name: "rental.bid",
    wanted: ({ rental }) => `${rental.bid} wins`,
    isUsed: ({ rental }) => rental.type === "interruptible" && rental.bid !== "auto",
    holds: (offer, { rental }) =>
      rental.type !== "interruptible" || rental.bid === "auto" || rental.bid >= lowestBid(offer),
    relax: (offer, request) => {
      const bid = ceilCents(lowestBid(offer));
      return { to: `${bid}`, request: rental(request, { bid }) };
    },
  },
  {
    name: "rental.maxPricePerHour",
    wanted: ({ rental }) => `at most ${rental.maxPricePerHour}`,
    isUsed: () => true,
    holds: (offer, request) => leastPrice(offer, request) <= request.rental.maxPricePerHour + 1e-9,
    relax: (offer, request) => {
      const maxPricePerHour = ceilCents(leastPrice(offer, request));
      return { to: `${maxPricePerHour}`, request: rental(request, { maxPricePerHour }) };
    },
  },
];

/** Filters and ranks; `isTaken` leaves out offers that a parallel rent has reserved or that failed before. */
export function planRent(
  request: RentRequest,
  offers: readonly Offer[],
  model: CostModel = DEFAULT_COST_MODEL,
  isTaken: (offer: Offer) => boolean = () => false,
): RentPlan {
  const used = CONDITIONS.filter((condition) => condition.isUsed(request));
  const rejections = used
    .map((condition) => ({
      condition: condition.name,
      wanted: condition.wanted(request),
      count: offers.filter((offer) => !condition.holds(offer, request)).length,
    }))
    .filter(({ count }) => count > 0);
  const candidates = offers
    .filter((offer) => !isTaken(offer) && used.every((condition) => condition.holds(offer, request)))
    .map((offer) => bestCandidate(offer, request, model))
    .sort((a, b) => a.costPerUsefulHour - b.costPerUsefulHour || a.offer.id - b.offer.id);
  return { candidates, offersSeen: offers.length, rejections };
}

/**
 * Whether a rented machine still is what the request asks for. What the market does not say about it counts as right:
 * a machine with work on it must not end for a field that is missing.
 */
export function stillFits(contract: Contract, request: RentRequest): boolean {
  if (contract.isBid !== (request.rental.type === "interruptible")) return false;
  const asOffer: Offer = {
    id: contract.id,
    machineId: contract.machineId ?? -1,
    hostId: contract.hostId,
    gpuName: contract.gpuName,
    gpuCount: contract.gpuCount,
    gpuRamMB: contract.gpuRamMB,
    cudaVersion: contract.cudaVersion,
    reliability: contract.reliability,
    isVerified: contract.isVerified ?? true,
    geolocation: contract.geolocation,
    downMbps: contract.downMbps,
    downUsdPerGB: 0,
    upUsdPerGB: 0,
    diskSpaceGB: contract.diskGB,
    directPorts: 1,
    durationS: Number.POSITIVE_INFINITY,
    // A bid can be lowered to a new cap, a fixed price cannot.
    gpuPricePerHour: contract.isBid ? 0 : contract.gpuPricePerHour,
    minBidPerHour: 0,
    diskUsdPerGBMonth: (contract.diskPricePerHour * 720) / request.diskGB,
    dlPerf: 0,
  };
  return CONDITIONS.every(({ name, holds }) => !isKnown(contract, name) || holds(asOffer, request));
}

/** Whether a contract's row tells what the condition asks about. */
function isKnown(contract: Contract, condition: string): boolean {
  const facts: Record<string, boolean> = {
    "gpu.names": contract.gpuName !== "unknown",
    "gpu.count": contract.gpuCount > 0,
    "gpu.minVramGB": contract.gpuRamMB > 0,
    "gpu.minCuda": contract.cudaVersion > 0,
    "gpu.geolocation": countryOf(contract) !== "",
    "machine.diskGB": contract.diskGB > 0,
    // These move every day: a small fall is no reason to end a machine with work on it.
    "gpu.minReliability": false,
    "gpu.minDownMbps": false,
  };
  return facts[condition] ?? true;
}

export interface Relaxation {
  condition: string;
  change: string;
  /** What the offer would cost with the change made, as `planRent` would rent it. */
  pricePerHour: number;
  offer: Offer;
  /** The request with the change made. */
  request: RentRequest;
}

/**
 * The smallest single change that lets an offer in: among offers that fail exactly one condition, the cheapest.
 * Undefined when no single change helps.
 */
export function smallestRelaxation(request: RentRequest, offers: readonly Offer[]): Relaxation | undefined {
  let best: Relaxation | undefined;
  for (const offer of offers) {
    const failed = CONDITIONS.filter((condition) => condition.isUsed(request) && !condition.holds(offer, request));
    const [only] = failed;
    if (failed.length !== 1 || !only) continue;
    const relaxed = only.relax?.(offer, request);
    if (!relaxed) continue;
    // Tried out, because one change can break another condition: a higher bid the price cap, for one.
    const [candidate] = planRent(relaxed.request, [offer]).candidates;
    if (!candidate || (best && best.pricePerHour <= candidate.pricePerHour)) continue;
    const { pricePerHour } = candidate;
    best = { condition: only.name, change: relaxed.to, pricePerHour, offer, request: relaxed.request };
  }
  return best;
}

/** USD per hour for the disk: the market's month has 30 days. */
export function diskPricePerHour(offer: Pick<Offer, "diskUsdPerGBMonth">, diskGB: number): number {
  return (offer.diskUsdPerGBMonth * diskGB) / 720;
}

/**
 * The query that lets the market do the coarse filtering; `planRent` decides, as the market does not apply every
 * numeric filter exactly.
 */
export function searchQuery(request: RentRequest, limit = 64): Record<string, unknown> {
  const { gpu, rental } = request;
  return {
    ...baseQuery(request, limit),
    num_gpus: { eq: gpu.count },
    disk_space: { gte: request.diskGB },
    ...(gpu.names.length > 0 && { gpu_name: { in: gpu.names.map((name) => name.replaceAll("_", " ")) } }),
    ...(gpu.minVramGB > 0 && { gpu_ram: { gte: Math.floor(gpu.minVramGB * 1000 * 0.95) } }),
    ...(gpu.minCuda !== "0" && { cuda_max_good: { gte: Number(gpu.minCuda) } }),
    ...(gpu.minReliability > 0 && { reliability2: { gte: gpu.minReliability } }),
    ...(gpu.verified && { verified: { eq: true } }),
    ...(gpu.geolocation.length > 0 && { geolocation: { in: gpu.geolocation.map((code) => code.toUpperCase()) } }),
    ...(gpu.minDownMbps > 0 && { inet_down: { gte: gpu.minDownMbps } }),
    ...(request.minHours > 0 && { duration: { gte: request.minHours * 3600 } }),
    ...(gpu.exclude.machines.length > 0 && { machine_id: { notin: gpu.exclude.machines } }),
    ...(gpu.exclude.hosts.length > 0 && { host_id: { notin: gpu.exclude.hosts } }),
    ...(rental.type === "on-demand" && { dph_total: { lte: rental.maxPricePerHour } }),
  };
}

/** Everything rentable, cheapest first: for explaining why nothing fits. */
export function baseQuery(request: RentRequest, limit = 64): Record<string, unknown> {
  return {
    rentable: { eq: true },
    rented: { eq: false },
    external: { eq: false },
    verified: { in: [true, false] },
    type: request.rental.type === "interruptible" ? "bid" : "on-demand",
    order: [["dph_total", "asc"]],
    allocated_storage: request.diskGB,
    limit,
  };
}

/** Whether two spellings name the same model: case, `_` for blanks, and the vendor's prefix do not count. */
export function sameName(a: string, b: string): boolean {
  return normalName(a) === normalName(b);
}

export function countryOf(offer: Pick<Offer, "geolocation">): string {
  return /([A-Za-z]{2})\s*$/.exec(offer.geolocation)?.[1]?.toUpperCase() ?? "";
}

/** Memory per GPU in GB as people say it: the market's 24564 MB card is a 24 GB card. */
export function vramGB(offer: Pick<Offer, "gpuRamMB">): number {
  return Math.round(offer.gpuRamMB / 1024);
}

/** Negative, zero or positive as a is older, equal or newer; "12.10" is newer than "12.4". */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function bestCandidate(offer: Offer, request: RentRequest, model: CostModel): Candidate {
  const candidates = bidChoices(offer, request).map((bidPerHour) => candidateAt(offer, bidPerHour, request, model));
  return candidates.reduce((best, next) => (next.costPerUsefulHour < best.costPerUsefulHour ? next : best));
}

/** Bids worth comparing: from just above the floor to half as much again, never over the cap. */
function bidChoices(offer: Offer, { rental, diskGB }: RentRequest): (number | null)[] {
  if (rental.type === "on-demand") return [null];
  if (rental.bid !== "auto") return [rental.bid];
  const cap = rental.maxPricePerHour - diskPricePerHour(offer, diskGB);
  const choices = [1, 1.05, 1.1, 1.2, 1.35, 1.5].map((factor) => ceilTenthCents(lowestBid(offer) * factor));
  const affordable = choices.filter((bid) => bid <= cap);
  return affordable.length > 0 ? affordable : [Math.max(cap, lowestBid(offer))];
}

function candidateAt(offer: Offer, bidPerHour: number | null, request: RentRequest, model: CostModel): Candidate {
  const pricePerHour = (bidPerHour ?? offer.gpuPricePerHour) + diskPricePerHour(offer, request.diskGB);
  const traffic = model.downGBPerHour * offer.downUsdPerGB + model.upGBPerHour * offer.upUsdPerGB;
  const interruptionsPerHour = bidPerHour === null ? 0 : interruptionRate(bidPerHour / lowestBid(offer), model);
  const usefulShare = Math.max(offer.reliability, 0.01) / (1 + interruptionsPerHour * model.lossPerInterruptionHours);
  const speed = model.speed[offer.gpuName] ?? 1;
  return { offer, bidPerHour, pricePerHour, costPerUsefulHour: (pricePerHour + traffic) / (usefulShare * speed) };
}

/**
 * A prior, not a measurement: rivals' bids thin out quickly above the floor, so the rate falls with the sixth power
 * of the premium (10 % more: 0.56 of the rate, 50 % more: 0.09).
 */
function interruptionRate(premium: number, model: CostModel): number {
  return model.interruptionsPerHourAtFloor * Math.max(premium, 1) ** -6;
}

/** The market takes no bid below a tenth of a cent, also where nobody else bids. */
function lowestBid(offer: Offer): number {
  return Math.max(offer.minBidPerHour, 0.001);
}

/** The lowest price at which the request could rent the offer. */
function leastPrice(offer: Offer, { rental, diskGB }: RentRequest): number {
  const gpus =
    rental.type === "on-demand" ? offer.gpuPricePerHour : rental.bid === "auto" ? lowestBid(offer) : rental.bid;
  return gpus + diskPricePerHour(offer, diskGB);
}

function normalName(name: string): string {
  return name
    .replaceAll("_", " ")
    .replace(/^(nvidia|geforce)\s+/i, "")
    .trim()
    .toUpperCase();
}

const ceilCents = (usd: number) => Math.ceil(usd * 100 - 1e-9) / 100;
const ceilTenthCents = (usd: number) => Math.ceil(usd * 1000 - 1e-9) / 1000;
