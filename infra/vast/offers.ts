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
  /** The value of this condition that would let the offer in, as configuration text. */
  relaxed(offer: Offer): string;
}

const list = (values: readonly (string | number)[]) => values.join(", ");

/** Every reason to refuse an offer: one row each, used to filter, to explain and to relax. */
export const CONDITIONS: Condition[] = [
  {
    name: "gpu.names",
    wanted: ({ gpu }) => list(gpu.names),
    isUsed: ({ gpu }) => gpu.names.length > 0,
    holds: (offer, { gpu }) => gpu.names.length === 0 || gpu.names.some((name) => sameName(name, offer.gpuName)),
    relaxed: (offer) => `add ${offer.gpuName}`,
  },
  {
    name: "gpu.count",
    wanted: ({ gpu }) => `${gpu.count}`,
    isUsed: () => true,
    holds: (offer, { gpu }) => offer.gpuCount === gpu.count,
    relaxed: (offer) => `${offer.gpuCount}`,
  },
  {
    name: "gpu.minVramGB",
    wanted: ({ gpu }) => `at least ${gpu.minVramGB}`,
    isUsed: ({ gpu }) => gpu.minVramGB > 0,
    holds: (offer, { gpu }) => vramGB(offer) >= gpu.minVramGB,
    relaxed: (offer) => `${vramGB(offer)}`,
  },
  {
    name: "gpu.minCuda",
    wanted: ({ gpu }) => `at least ${gpu.minCuda}`,
    isUsed: ({ gpu }) => gpu.minCuda !== "0",
    holds: (offer, { gpu }) => compareVersions(String(offer.cudaVersion), gpu.minCuda) >= 0,
    relaxed: (offer) => `"${offer.cudaVersion}"`,
  },
  {
    name: "gpu.minReliability",
    wanted: ({ gpu }) => `at least ${gpu.minReliability}`,
    isUsed: ({ gpu }) => gpu.minReliability > 0,
    holds: (offer, { gpu }) => offer.reliability >= gpu.minReliability,
    relaxed: (offer) => `${Math.floor(offer.reliability * 1000) / 1000}`,
  },
  {
    name: "gpu.verified",
    wanted: () => "true",
    isUsed: ({ gpu }) => gpu.verified,
    holds: (offer, { gpu }) => !gpu.verified || offer.isVerified,
    relaxed: () => "false",
  },
  {
    name: "gpu.geolocation",
    wanted: ({ gpu }) => list(gpu.geolocation),
    isUsed: ({ gpu }) => gpu.geolocation.length > 0,
    holds: (offer, { gpu }) =>
      gpu.geolocation.length === 0 || gpu.geolocation.some((code) => code.toUpperCase() === countryOf(offer)),
    relaxed: (offer) => `add ${countryOf(offer) || "any"}`,
  },
  {
    name: "gpu.minDownMbps",
    wanted: ({ gpu }) => `at least ${gpu.minDownMbps}`,
    isUsed: ({ gpu }) => gpu.minDownMbps > 0,
    holds: (offer, { gpu }) => offer.downMbps >= gpu.minDownMbps,
    relaxed: (offer) => `${Math.floor(offer.downMbps)}`,
  },
  {
    name: "gpu.exclude",
    wanted: ({ gpu }) => `not machines ${list(gpu.exclude.machines)} nor hosts ${list(gpu.exclude.hosts)}`,
    isUsed: ({ gpu }) => gpu.exclude.machines.length + gpu.exclude.hosts.length > 0,
    holds: (offer, { gpu }) =>
      !gpu.exclude.machines.includes(offer.machineId) &&
      !(offer.hostId !== null && gpu.exclude.hosts.includes(offer.hostId)),
    relaxed: (offer) => `drop machine ${offer.machineId}`,
  },
  {
    name: "machine.diskGB",
    wanted: ({ diskGB }) => `${diskGB} free`,
    isUsed: () => true,
    holds: (offer, { diskGB }) => offer.diskSpaceGB >= diskGB,
    relaxed: (offer) => `${Math.floor(offer.diskSpaceGB)}`,
  },
  {
    name: "budget.maxHours",
    wanted: ({ minHours }) => `available for ${minHours} h`,
    isUsed: ({ minHours }) => minHours > 0,
    holds: (offer, { minHours }) => offer.durationS >= minHours * 3600,
    relaxed: (offer) => `${Math.floor(offer.durationS / 3600)}`,
  },
  {
    name: "rental.bid",
    wanted: ({ rental }) => `${rental.bid} wins`,
    isUsed: ({ rental }) => rental.type === "interruptible" && rental.bid !== "auto",
    holds: (offer, { rental }) =>
      rental.type !== "interruptible" || rental.bid === "auto" || rental.bid >= offer.minBidPerHour,
    relaxed: (offer) => `${ceilCents(offer.minBidPerHour)}`,
  },
  {
    name: "rental.maxPricePerHour",
    wanted: ({ rental }) => `at most ${rental.maxPricePerHour}`,
    isUsed: () => true,
    holds: (offer, request) => leastPrice(offer, request) <= request.rental.maxPricePerHour + 1e-9,
    // Set below by explainNoOffer, which knows the request; alone, the price without disk.
    relaxed: (offer) => `${ceilCents(offer.gpuPricePerHour)}`,
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

/** Whether a rented machine still is what the request asks for. */
export function stillFits(contract: Contract, request: RentRequest): boolean {
  const asOffer: Offer = {
    id: contract.id,
    machineId: contract.machineId ?? -1,
    hostId: contract.hostId,
    gpuName: contract.gpuName,
    gpuCount: contract.gpuCount,
    gpuRamMB: contract.gpuRamMB,
    cudaVersion: contract.cudaVersion,
    reliability: contract.reliability,
    isVerified: contract.isVerified,
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
    diskUsdPerGBMonth: contract.isBid ? 0 : (contract.diskPricePerHour * 720) / Math.max(request.diskGB, 1),
    dlPerf: 0,
  };
  // Reliability moves every day: a small fall is no reason to end a machine with work on it.
  const lenient = new Set(["gpu.minReliability", "gpu.minDownMbps"]);
  return CONDITIONS.every((condition) => lenient.has(condition.name) || condition.holds(asOffer, request));
}

export interface Relaxation {
  condition: string;
  change: string;
  pricePerHour: number;
  offer: Offer;
}

/**
 * The smallest single change that lets an offer in: among offers that fail exactly one condition, the cheapest.
 * Undefined when every offer fails at least two.
 */
export function smallestRelaxation(request: RentRequest, offers: readonly Offer[]): Relaxation | undefined {
  let best: Relaxation | undefined;
  for (const offer of offers) {
    const failed = CONDITIONS.filter((condition) => condition.isUsed(request) && !condition.holds(offer, request));
    const [only] = failed;
    if (failed.length !== 1 || !only || only.name === "gpu.exclude") continue;
    // A bid that is too low rents nothing: what counts is the price with the bid that wins.
    const bid = only.name === "rental.bid" ? ceilCents(offer.minBidPerHour) : request.rental.bid;
    const pricePerHour = leastPrice(offer, { ...request, rental: { ...request.rental, bid } });
    if (best && best.pricePerHour <= pricePerHour) continue;
    if (only.name === "rental.bid" && pricePerHour > request.rental.maxPricePerHour) continue;
    const change = only.name === "rental.maxPricePerHour" ? `${ceilCents(pricePerHour)}` : only.relaxed(offer);
    best = { condition: only.name, change, pricePerHour, offer };
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
  const floor = ceilTenthCents(offer.minBidPerHour);
  const choices = [1, 1.05, 1.1, 1.2, 1.35, 1.5].map((factor) => ceilTenthCents(offer.minBidPerHour * factor));
  const affordable = choices.filter((bid) => bid <= cap);
  return affordable.length > 0 ? affordable : [Math.max(Math.min(floor, cap), offer.minBidPerHour)];
}

function candidateAt(offer: Offer, bidPerHour: number | null, request: RentRequest, model: CostModel): Candidate {
  const pricePerHour = (bidPerHour ?? offer.gpuPricePerHour) + diskPricePerHour(offer, request.diskGB);
  const traffic = model.downGBPerHour * offer.downUsdPerGB + model.upGBPerHour * offer.upUsdPerGB;
  const interruptionsPerHour = bidPerHour === null ? 0 : interruptionRate(bidPerHour / offer.minBidPerHour, model);
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

/** The lowest price at which the request could rent the offer. */
function leastPrice(offer: Offer, { rental, diskGB }: RentRequest): number {
  const gpus =
    rental.type === "on-demand" ? offer.gpuPricePerHour : rental.bid === "auto" ? offer.minBidPerHour : rental.bid;
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
