/** lease.json: reading it, and how old the store says it is. */
import { readStored } from "../../common/stored-json.ts";
import type { ObjectStore } from "../store/types.ts";
import type { Holder, LeaseHeartbeat, LeaseRecord } from "./types.ts";

export const LEASE_KEY = "lease.json";
export const LEASE_TTL_SECONDS = 15;

/** The store's times are whole seconds, on both sides of the difference. */
const CLOCK_MARGIN_SECONDS = 1;

export interface FoundLease {
  /** Undefined when it is damaged. */
  record: LeaseRecord | undefined;
  etag: string;
  /** Since it was written, in seconds, by the store's clock alone: no other clock has a say. */
  ageSeconds: number;
  isExpired: boolean;
}

/** @throws UserError VL_STORE_*; VL_CHECKPOINT_BAD when a newer vastlane has written it */
export async function readLease(store: ObjectStore): Promise<FoundLease | undefined> {
  const found = await store.get(LEASE_KEY);
  if (!found) return undefined;
  const stored = readStored(LEASE_KEY, found.body);
  const record = "fields" in stored ? recordOf(stored.fields) : undefined;
  const ageSeconds = Math.max(0, (found.storeNowMs - found.lastModifiedMs) / 1000);
  const ttlSeconds = record?.ttlSeconds ?? LEASE_TTL_SECONDS;
  return { record, etag: found.etag, ageSeconds, isExpired: ageSeconds > ttlSeconds + CLOCK_MARGIN_SECONDS };
}

function recordOf(fields: Record<string, unknown>): LeaseRecord | undefined {
  const { runId, epoch, writeId, acquiredAt, ttlSeconds, released, fencedEpoch, parent, heartbeat } = fields;
  const holder = holderOf(fields.holder);
  if (!holder || !Number.isSafeInteger(epoch) || (epoch as number) < 0) return undefined;
  return {
    format: 1,
    runId: typeof runId === "string" ? runId : "",
    epoch: epoch as number,
    holder,
    writeId: typeof writeId === "string" ? writeId : "",
    acquiredAt: typeof acquiredAt === "string" ? acquiredAt : "",
    ttlSeconds: typeof ttlSeconds === "number" && ttlSeconds > 0 ? ttlSeconds : LEASE_TTL_SECONDS,
    released: released === true,
    fencedEpoch: typeof fencedEpoch === "number" ? fencedEpoch : 0,
    parent: typeof parent === "string" ? parent : null,
    heartbeat: typeof heartbeat === "object" && heartbeat !== null ? (heartbeat as LeaseHeartbeat) : null,
  };
}

function holderOf(value: unknown): Holder | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, contractId, hostname, pid } = value as Record<string, unknown>;
  if (typeof id !== "string") return undefined;
  return {
    id,
    contractId: typeof contractId === "number" ? contractId : null,
    hostname: typeof hostname === "string" ? hostname : "an unnamed machine",
    pid: typeof pid === "number" ? pid : 0,
  };
}
