/** A client of `/_emulator/` for the CLI and tests: time, faults, preemption, journal. */
import { UserError } from "../common/errors.ts";
import type { FaultName } from "./faults/kinds.ts";
import type { JournalLine } from "./state/journal.ts";
import type { FaultRecord } from "./state/records.ts";

export interface EmulatorStatus {
  pid: number;
  seed: number;
  calm: boolean;
  speed: number;
  loadingSeconds: number;
  /** Market time and the market's birth, Unix seconds. */
  time: number;
  birth: number;
  mode: "isolated" | "plain";
  accountId: number;
  /** US$. */
  credit: number;
  offers: number;
  /** Contracts that exist, stopped ones included, of all accounts. */
  contracts: number;
  /** US$ per hour of all of them. */
  billingPerHour: number;
  /** What the store holds; null where there is none. */
  s3: { buckets: number; objects: number; bytes: number; keptBytes: number } | null;
  faults: FaultRecord[];
}

export interface ContractSummary {
  id: number;
  accountId: number;
  machineId: number;
  offerId: number;
  label: string | null;
  phase: string;
  stopCause: string | null;
  isBid: boolean;
  offline: boolean;
  gpu: string;
  gpuPricePerHour: number;
  pricePerHour: number;
  costUsd: number;
  createdAt: number;
  destroyedAt: number | null;
  isMachineRunning: boolean;
}

export interface EmulatorClient {
  status(): Promise<EmulatorStatus>;
  /** Lines after number `since`. */
  journal(since?: number): Promise<JournalLine[]>;
  /** All contracts that ever were, destroyed ones included. */
  contracts(): Promise<ContractSummary[]>;
  preempt(id: number, options?: { seconds?: number; release?: boolean }): Promise<{ phase: string }>;
  outbid(id: number, options?: { price?: number; seconds?: number }): Promise<{ phase: string }>;
  offline(target: {
    id?: number;
    machineId?: number;
    online?: boolean;
    seconds?: number;
    crash?: boolean;
  }): Promise<void>;
  fault(kind: FaultName, options?: { count?: number; seconds?: number } & Record<string, unknown>): Promise<void>;
  faults(): Promise<FaultRecord[]>;
  clearFaults(kind?: FaultName): Promise<number>;
  /** Market time afterwards. */
  clock(change: { advanceSeconds?: number; speed?: number }): Promise<number>;
  credit(usd: number, accountId?: number): Promise<void>;
  account(name?: string): Promise<{ accountId: number; apiKey: string }>;
  /** Keys that reach one prefix of one bucket of the store; the same ones each time. */
  s3Keys(bucket: string, prefix: string): Promise<{ accessKeyId: string; secretAccessKey: string }>;
  /** Asks the daemon to end itself and all machines; resolves when it has agreed. */
  stop(): Promise<void>;
}

/** Makes a client of a running emulator. @throws UserError VL_EMULATOR_DOWN from any call when it does not answer. */
export function createEmulatorClient(
  target: { url: string; apiKey: string },
  fetch_: typeof fetch = fetch,
): EmulatorClient {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    let response: Response;
    try {
      response = await fetch_(`${target.url}/_emulator/${path}`, {
        method,
        headers: { authorization: `Bearer ${target.apiKey}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new UserError("VL_EMULATOR_DOWN", {
        what: `The emulator at ${target.url} does not answer.`,
        hint: "Start it with: npx vastlane emulator start",
        cause,
      });
    }
    const answer = (await response.json()) as T & { msg?: string };
    if (!response.ok)
      throw new UserError("VL_USAGE", {
        what: "The emulator refused the request.",
        why: answer.msg ?? `status ${response.status}`,
        ...(response.status === 404 && { hint: "See the contracts with: npx vastlane status --all" }),
      });
    return answer;
  }

  return {
    status: () => call("GET", "status"),
    journal: async (since = 0) => (await call<{ lines: JournalLine[] }>("GET", `journal?since=${since}`)).lines,
    contracts: async () => (await call<{ contracts: ContractSummary[] }>("GET", "contracts")).contracts,
    preempt: (id, options = {}) => call("POST", "preempt", { id, ...options }),
    outbid: (id, options = {}) => call("POST", "outbid", { id, ...options }),
    offline: async (options) => void (await call("POST", "offline", options)),
    fault: async (kind, options = {}) => void (await call("POST", "fault", { kind, ...options })),
    faults: async () => (await call<{ faults: FaultRecord[] }>("GET", "fault")).faults,
    clearFaults: async (kind) =>
      (await call<{ removed: number }>("DELETE", kind ? `fault?kind=${kind}` : "fault")).removed,
    clock: async (change) => (await call<{ time: number }>("POST", "clock", change)).time,
    credit: async (usd, accountId) => void (await call("POST", "credit", { usd, accountId })),
    account: (name) => call("POST", "account", { name }),
    s3Keys: (bucket, prefix) => call("POST", "s3/keys", { bucket, prefix }),
    stop: async () => void (await call("POST", "stop", {})),
  };
}
