/**
 * Writing one's own lease: each write is conditional on the one before, so that it fails once somebody else has taken
 * over. A reply that was lost shows as a failed condition on a lease that is still ours; the write is then repeated.
 */
import { randomUUID } from "node:crypto";
import { hasCode } from "../../common/errors.ts";
import { ConditionFailed, type ObjectStore } from "../store/types.ts";
import { type FoundLease, LEASE_KEY, readLease } from "./lease-record.ts";
import { LeaseLost } from "./lost.ts";
import type { LeaseRecord } from "./types.ts";

const MAX_ROUNDS = 8;

export interface OwnLease {
  readonly record: LeaseRecord;
  /**
   * Writes the lease with these changes. @throws LeaseLost; UserError VL_STORE_* when it is not known whether it
   * happened, which the next write finds out.
   */
  write(change: Partial<Pick<LeaseRecord, "heartbeat" | "released" | "fencedEpoch" | "parent">>): Promise<void>;
}

/** `etag` is that of the record as it was taken. */
export function ownLease(store: ObjectStore, taken: LeaseRecord, etag: string, hasConditions: boolean): OwnLease {
  let record = taken;
  let lastEtag: string | undefined = etag;
  return {
    get record() {
      return record;
    },
    async write(change) {
      let failure: unknown;
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        // Without conditions the look before the write is all there is.
        if (failure !== undefined || !hasConditions) lastEtag = (await look(store, record))?.etag;
        const next = { ...record, ...change, writeId: randomUUID() };
        const condition = lastEtag === undefined ? ({ ifNoneMatch: "*" } as const) : { ifMatch: lastEtag };
        try {
          const written = await store.put(LEASE_KEY, JSON.stringify(next), hasConditions ? condition : undefined);
          lastEtag = written.etag;
          record = next;
          return;
        } catch (error) {
          if (!(error instanceof ConditionFailed)) throw error;
          failure = error;
        }
      }
      throw failure;
    },
  };
}

/**
 * What is in our lease's place now. A lower epoch is no rival: it is a write that came late to a store without
 * conditions, or a leftover that somebody put back by hand.
 * @throws LeaseLost
 */
async function look(store: ObjectStore, own: LeaseRecord): Promise<FoundLease | undefined> {
  const found = await readLease(store).catch((error) => {
    const isNewer = hasCode(error, "VL_CHECKPOINT_BAD");
    throw isNewer ? new LeaseLost(own.epoch, {}) : error;
  });
  const other = found?.record;
  if (other && (other.epoch > own.epoch || (other.epoch === own.epoch && other.holder.id !== own.holder.id))) {
    throw new LeaseLost(own.epoch, other);
  }
  return found;
}
