/** The records that the emulator keeps, as they lie on disk. Times are market Unix seconds, money is US$. */
import type { MachineFault } from "../machine/types.ts";
import type { Phase } from "../market/contracts.ts";

export interface MarketRecord {
  seed: number;
  /** Market time at which this market began; prices and events are functions of seed and time since then. */
  birth: number;
  /** Market time of the last settlement, and the real time (ms) at which it was written. */
  settledAt: number;
  writtenAtMs: number;
  speed: number;
  nextContractId: number;
  nextId: number;
  /** Set by a clean stop: the time until the next start is not billed. */
  stopped: boolean;
}

export interface AccountRecord {
  id: number;
  name: string;
  /** US$ paid in, less what was taken out by hand; the credit is this less the cost of all its contracts. */
  deposited: number;
  /** Environment variables that go into every new contract (`/secrets/`). */
  secrets: Record<string, string>;
}

/** Permissions as in vast-api.md 7.3: category -> {} or named endpoints; null = everything. */
export type Rights = Record<string, Record<string, { constraints?: Record<string, Record<string, number>> }>> | null;

export interface KeyRecord {
  id: number;
  accountId: number;
  name: string;
  key: string;
  rights: Rights;
  /** Set for the key inside a machine: it acts on this contract alone. */
  contractId: number | null;
  createdAt: number;
}

export interface SshKeyRecord {
  id: number;
  accountId: number;
  key: string;
  createdAt: number;
  deletedAt: number | null;
}

/** What changed about an offer since the market was generated. */
export interface SlotRecord {
  slot: number;
  /** How many times a contract of ours took or freed it; each gives the offer a new id. */
  relists: number;
  /** A rival bid set by hand or by a fault, until market time (null: for ever). */
  rival: { price: number; until: number | null } | null;
  /** An on-demand renter set by hand or by a fault, until market time (null: for ever). */
  renter: { until: number | null } | null;
}

/** A host taken offline (or kept online) by hand. */
export interface HostRecord {
  machineId: number;
  /** Market time; null: until put online by hand. */
  offlineUntil: number | null;
  crash: boolean;
}

export interface AttachedKey {
  id: number;
  key: string;
}

export interface ContractRecord {
  id: number;
  accountId: number;
  slot: number;
  machineId: number;
  offerId: number;
  label: string | null;
  phase: Phase;
  /** What stopped it last: `user`, `outbid`, `preempt`, `credit`, `expired`, `exit`. */
  stopCause: string | null;
  statusMsg: string | null;
  isBid: boolean;
  /** Own bid, or the host's price locked at rental; US$/h for the GPUs of the contract. */
  gpuPricePerHour: number;
  /** US$/GB/month, 30 days a month. */
  storageCost: number;
  inetUpCost: number;
  inetDownCost: number;
  diskGB: number;
  image: string;
  env: [string, string][];
  onstart: string | null;
  args: string[];
  runtype: string;
  templateHash: string | null;
  createdAt: number;
  endDate: number;
  /** End of the image pull; null: never (stuck). */
  readyAt: number | null;
  /** When the machine came up; for the uptime. */
  upAt: number | null;
  /** Raised whenever the machine must be started anew; `wipe`: with an empty disk. The reconciler's goal. */
  power: { generation: number; wipe: boolean };
  /** The generation that came up last; tells a new daemon whether a machine that still runs is the wanted one. */
  upGeneration: number;
  /** The host cannot be reached; `crash`: its machines have lost their processes. */
  offline: { crash: boolean } | null;
  /** Docker text with which the next start fails. */
  startError: string | null;
  /** Fault that its machine plays from its next start on. */
  machineFault: MachineFault | null;
  sshKeys: AttachedKey[];
  jupyterToken: string;
  apiKey: string;
  /** Loopback ports: direct by `port/proto`, and the one of the proxy; empty until the first start. */
  ports: Record<string, number>;
  proxyPort: number | null;
  /** Charged up to here; later seconds are charged with the phase that lies in this record. */
  billedAt: number;
  /** Start of what is not yet in a charge line, and its cost. */
  openSince: number;
  open: Cost;
  total: Cost;
  /** Traffic counters of the machine at the last reading, bytes. */
  counted: { received: number; sent: number };
  /** Not shown by reads before this market time (fault `read-lag`). */
  hiddenUntil: number;
  destroyedAt: number | null;
}

/** US$ by kind, and the hours and gigabytes behind them. */
export interface Cost {
  gpuUsd: number;
  diskUsd: number;
  downUsd: number;
  upUsd: number;
  gpuHours: number;
  diskHours: number;
  downGB: number;
  upGB: number;
}

/** One contract's charges of one UTC day; the rows of `/charges/`. */
export interface ChargeRecord {
  contractId: number;
  accountId: number;
  /** Unix seconds of the day's start. */
  day: number;
  label: string | null;
  start: number;
  end: number;
  cost: Cost;
  gpuPricePerHour: number;
}

export interface FaultRecord {
  id: number;
  kind: string;
  /** Uses left; null: until removed or `until`. */
  count: number | null;
  /** Market time at which it ends; null: never. */
  until: number | null;
  params: Record<string, unknown>;
}
