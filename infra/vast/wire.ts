/**
 * The market's words, checked and translated once: everything above this file speaks our names with units.
 * Unknown fields are tolerated; missing ones, and facts of a wrong type, become null. What tells whose a contract is
 * (id and label) is an error when it cannot be read, never skipped, because a contract that is not seen bills unseen.
 * Source: the Vast.ai API reference (instances, offers, users), as recorded with its official client 1.9.1.
 */
import { z } from "zod";

/** Without blanks around it: the market's texts may end with blanks or a newline. */
const trimmed = z.string().trim();
const text = trimmed.nullish().catch(null);
const number = z
  .union([z.number(), trimmed.regex(/^-?\d+(\.\d+)?$/).transform(Number)])
  .nullish()
  .catch(null);
const flag = z
  .union([z.boolean(), z.literal([0, 1]).transform((it) => it === 1)])
  .nullish()
  .catch(null);

const offerRow = z.looseObject({
  id: z.number(),
  machine_id: z.number(),
  host_id: number,
  gpu_name: text,
  num_gpus: number,
  gpu_ram: number,
  cuda_max_good: number,
  reliability2: number,
  reliability: number,
  verification: text,
  geolocation: text,
  inet_down: number,
  inet_down_cost: number,
  inet_up_cost: number,
  disk_space: number,
  direct_port_count: number,
  duration: number,
  dph_base: number,
  dph_total: number,
  min_bid: number,
  storage_cost: number,
  dlperf: number,
});

/** One machine slice for rent. Prices in USD; memory in MB of 1000; `durationS` is what is left of the offer. */
export interface Offer {
  id: number;
  machineId: number;
  hostId: number | null;
  gpuName: string;
  gpuCount: number;
  gpuRamMB: number;
  cudaVersion: number;
  reliability: number;
  isVerified: boolean;
  geolocation: string;
  downMbps: number;
  downUsdPerGB: number;
  upUsdPerGB: number;
  diskSpaceGB: number;
  directPorts: number;
  durationS: number;
  /** GPUs only, on demand; in answers to a bid search the market puts the bid price here. */
  gpuPricePerHour: number;
  /** Lowest winning bid for the GPUs now. */
  minBidPerHour: number;
  diskUsdPerGBMonth: number;
  /** The market's deep learning score; 0 when unknown. */
  dlPerf: number;
}

/** The offer, or undefined when the row has no id or no machine. */
export function readOffer(row: unknown): Offer | undefined {
  return offerRow.safeParse(row).success ? toOffer(row) : undefined;
}

export function toOffer(row: unknown): Offer {
  const it = offerRow.parse(row);
  return {
    id: it.id,
    machineId: it.machine_id,
    hostId: it.host_id ?? null,
    gpuName: it.gpu_name ?? "unknown",
    gpuCount: it.num_gpus ?? 0,
    gpuRamMB: it.gpu_ram ?? 0,
    cudaVersion: it.cuda_max_good ?? 0,
    reliability: it.reliability2 ?? it.reliability ?? 0,
    isVerified: it.verification === "verified",
    geolocation: it.geolocation ?? "",
    downMbps: it.inet_down ?? 0,
    downUsdPerGB: it.inet_down_cost ?? 0,
    upUsdPerGB: it.inet_up_cost ?? 0,
    diskSpaceGB: it.disk_space ?? 0,
    directPorts: it.direct_port_count ?? 0,
    durationS: it.duration ?? Number.POSITIVE_INFINITY,
    gpuPricePerHour: it.dph_base ?? it.dph_total ?? Number.POSITIVE_INFINITY,
    minBidPerHour: it.min_bid ?? it.dph_base ?? Number.POSITIVE_INFINITY,
    diskUsdPerGBMonth: it.storage_cost ?? 0,
    dlPerf: it.dlperf ?? 0,
  };
}

const portBinding = z
  .array(z.looseObject({ HostPort: number }))
  .nullish()
  .catch(null);

const contractRow = z.looseObject({
  id: z.number(),
  machine_id: number,
  host_id: number,
  label: trimmed.nullish(),
  actual_status: text,
  intended_status: text,
  cur_state: text,
  status_msg: text,
  is_bid: flag,
  min_bid: number,
  dph_base: number,
  dph_total: number,
  storage_total_cost: number,
  storage_cost: number,
  disk_space: number,
  gpu_name: text,
  num_gpus: number,
  gpu_ram: number,
  cuda_max_good: number,
  reliability2: number,
  verification: text,
  geolocation: text,
  inet_down: number,
  image_uuid: text,
  ssh_host: text,
  ssh_port: number,
  ssh_user: text,
  public_ipaddr: text,
  ports: z.record(z.string(), portBinding).nullish().catch(null),
  start_date: number,
  gpu_util: number,
});

/** One rented machine as the market describes it. */
export interface Contract {
  id: number;
  machineId: number | null;
  hostId: number | null;
  label: string | null;
  /** `actual_status` of the market: what the container does; null before the host has reported. */
  actualStatus: string | null;
  /** `intended_status`: what the user or the system wants; "stopped" after an outbid. */
  intendedStatus: string | null;
  curState: string | null;
  statusMessage: string;
  isBid: boolean;
  minBidPerHour: number | null;
  /** GPUs: the fixed price, or the own bid. */
  gpuPricePerHour: number;
  diskPricePerHour: number;
  diskGB: number;
  gpuName: string;
  gpuCount: number;
  gpuRamMB: number;
  cudaVersion: number;
  reliability: number;
  /** null: the market did not say. */
  isVerified: boolean | null;
  geolocation: string;
  downMbps: number;
  image: string;
  gpuUtilPercent: number | null;
  /** Unix seconds of the rent. */
  startedAt: number;
  sshUser: string;
  /** Addresses of the SSH server, the better one (direct) first. */
  addresses: SshAddress[];
}

export interface SshAddress {
  kind: "direct" | "proxy";
  host: string;
  port: number;
}

export function toContract(row: unknown): Contract {
  const it = contractRow.parse(row);
  const diskPricePerHour = it.storage_total_cost ?? ((it.storage_cost ?? 0) * (it.disk_space ?? 0)) / 720;
  return {
    id: it.id,
    machineId: it.machine_id ?? null,
    hostId: it.host_id ?? null,
    label: it.label ?? null,
    actualStatus: it.actual_status ?? null,
    intendedStatus: it.intended_status ?? null,
    curState: it.cur_state ?? null,
    statusMessage: it.status_msg ?? "",
    isBid: it.is_bid ?? false,
    minBidPerHour: it.min_bid ?? null,
    gpuPricePerHour: it.dph_base ?? Math.max(0, (it.dph_total ?? 0) - diskPricePerHour),
    diskPricePerHour,
    diskGB: it.disk_space ?? 0,
    gpuName: it.gpu_name ?? "unknown",
    gpuCount: it.num_gpus ?? 0,
    gpuRamMB: it.gpu_ram ?? 0,
    cudaVersion: it.cuda_max_good ?? 0,
    reliability: it.reliability2 ?? 0,
    isVerified: it.verification == null ? null : it.verification === "verified",
    geolocation: it.geolocation ?? "",
    downMbps: it.inet_down ?? 0,
    image: it.image_uuid ?? "",
    gpuUtilPercent: it.gpu_util ?? null,
    startedAt: it.start_date ?? 0,
    sshUser: it.ssh_user || "root",
    addresses: addressesOf(it),
  };
}

function addressesOf(row: z.infer<typeof contractRow>): SshAddress[] {
  const addresses: SshAddress[] = [];
  const direct = row.ports?.["22/tcp"]?.[0]?.HostPort;
  if (direct && row.public_ipaddr) addresses.push({ kind: "direct", host: row.public_ipaddr, port: direct });
  if (row.ssh_host && row.ssh_port) addresses.push({ kind: "proxy", host: row.ssh_host, port: row.ssh_port });
  return addresses;
}

export const offersAnswer = z.looseObject({ offers: z.array(z.unknown()) });

export const contractsAnswer = z.looseObject({
  instances: z.array(z.unknown()),
  next_token: z.string().nullish(),
  total_instances: z.number().nullish(),
});

export const rentAnswer = z.looseObject({
  success: z.boolean().nullish(),
  new_contract: z.number().nullish(),
  error: text,
});

export const successAnswer = z.looseObject({ success: z.boolean().nullish(), error: text, msg: text });

export const userAnswer = z.looseObject({ id: z.number(), credit: number, balance: number });

export const logsAnswer = z.looseObject({ result_url: text, msg: text });
