/**
 * Taking the lease of a run: when nobody holds it, when its holder gave it back, is silent for longer than its time to
 * live, or is this very machine. The order is what makes it safe: lease with a higher epoch first, then the fence on
 * latest.json that ends older writers, then the lease again with what was accepted. Only then is the run ours.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import { hasCode, messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { ConditionFailed, type ObjectStore } from "../store/types.ts";
import { fenceHead, readHead } from "./head.ts";
import { type Held, holdLease, stamp } from "./hold.ts";
import { type FoundLease, LEASE_KEY, LEASE_TTL_SECONDS, readLease } from "./lease-record.ts";
import { listIds, newestEpoch, newestHead } from "./lineage.ts";
import { describeHolder, LeaseLost } from "./lost.ts";
import { type OwnLease, ownLease } from "./own-lease.ts";
import type { Holder, LeaseHeartbeat, LeaseRecord } from "./types.ts";

export interface LeaseOptions {
  store: ObjectStore;
  runId: string;
  holder: Holder;
  clock: Clock;
  monotonicMs?: () => number;
  log: Log;
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Default 15. */
  ttlSeconds?: number;
  /** Between two renewals, default 5000. */
  renewMs?: number;
  /** Between two looks at a lease that another holds, default 2000. */
  pollMs?: number;
  /**
   * Whether to start anew, with no checkpoint of before. Asked once the lease is ours but nothing is fenced yet, as the
   * run record may have changed while we waited. When it throws, the lease is given back and the error thrown.
   */
  fresh?: () => boolean | Promise<boolean>;
  heartbeat?: () => LeaseHeartbeat | null;
  /** At each look at a lease that another holds. */
  onWaiting?(waiting: Waiting): void;
}

export interface Waiting {
  /** Undefined: the lease is damaged, and is waited for as long as a good one would be. */
  lease: LeaseRecord | undefined;
  ageSeconds: number;
}

/** How long a store without conditions gets to show whose write came last, in ms. */
const SETTLE_MS = 2_000;

/**
 * Waits until the run is ours. While the store is down it goes on trying.
 * @throws the signal's reason; what `fresh` throws; UserError VL_STORE_* for what does not pass by itself
 */
export async function acquireLease(options: LeaseOptions): Promise<Held> {
  const { store, holder, clock, log, signal, pollMs = 2_000 } = options;
  const mine = new Set<string>();
  let isDown = false;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const found = await readLease(store);
      if (isDown) log("the store answers again");
      isDown = false;
      if (found && !isFree(found, holder)) {
        options.onWaiting?.({ lease: found.record, ageSeconds: found.ageSeconds });
        await clock.sleep(pollMs, signal);
        continue;
      }
      const hasConditions = await store.hasConditions();
      const taken = await take(found, hasConditions, mine, options);
      if (taken) return await begin(taken, hasConditions, options);
    } catch (error) {
      if (error instanceof LeaseLost) {
        log(`the lease was lost while taking it: ${error.why}`);
      } else if (error instanceof ConditionFailed) {
        log(`others write too often to take the lease: ${error.message}`);
      } else if (hasCode(error, "VL_STORE_DOWN")) {
        if (!isDown) log(`waiting for the store: ${messageOf(error)}`);
        isDown = true;
      } else throw error;
      await clock.sleep(pollMs, signal);
    }
  }
}

/** For people: who holds the run. */
export function describeWaiting({ lease, ageSeconds }: Waiting): string {
  if (!lease) return `the run's lease is damaged; taken over once it is ${LEASE_TTL_SECONDS} s old`;
  const since = lease.acquiredAt === "" ? "" : ` since ${lease.acquiredAt.slice(0, 19)}Z`;
  return `${describeHolder(lease.holder)} holds the run${since} and was last heard of ${Math.round(ageSeconds)} s ago`;
}

function isFree({ record, isExpired }: FoundLease, holder: Holder): boolean {
  if (isExpired) return true;
  if (!record) return false;
  // The contract as well: a disk that was copied to another machine brings the id along.
  const isOurs = record.holder.id === holder.id && record.holder.contractId === holder.contractId;
  return record.released || isOurs;
}

interface Taken {
  record: LeaseRecord;
  etag: string;
}

/** The lease with a new epoch, or undefined when somebody else was faster. `mine` are the write ids tried so far. */
async function take(
  found: FoundLease | undefined,
  hasConditions: boolean,
  mine: Set<string>,
  { store, clock, signal, ...options }: LeaseOptions,
): Promise<Taken | undefined> {
  const before = found?.record;
  const record: LeaseRecord = {
    format: 1,
    runId: options.runId,
    epoch: (await highestEpoch(store, before)) + 1,
    holder: options.holder,
    writeId: randomUUID(),
    acquiredAt: new Date(clock.now()).toISOString(),
    ttlSeconds: options.ttlSeconds ?? LEASE_TTL_SECONDS,
    released: false,
    fencedEpoch: before?.fencedEpoch ?? 0,
    parent: before?.parent ?? null,
    heartbeat: options.heartbeat?.() ?? null,
  };
  mine.add(record.writeId);
  const condition = found ? { ifMatch: found.etag } : ({ ifNoneMatch: "*" } as const);
  try {
    const { etag } = await store.put(LEASE_KEY, JSON.stringify(record), hasConditions ? condition : undefined);
    if (hasConditions) return { record, etag };
    await clock.sleep(SETTLE_MS, signal);
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
  }
  // The reply to our own write may have been lost; without conditions, the last write is the one that counts.
  const now = await readLease(store);
  return now?.record && mine.has(now.record.writeId) ? { record: now.record, etag: now.etag } : undefined;
}

/** Higher than anything that any writer of this run has in hand, also when lease.json was removed. */
async function highestEpoch(store: ObjectStore, before: LeaseRecord | undefined): Promise<number> {
  const { head } = await readHead(store);
  const written = before ? before.epoch : newestEpoch(await listIds(store));
  return Math.max(written, head?.epoch ?? 0);
}

/** Fences the older epochs, writes down what was accepted, and begins to renew. */
async function begin({ record, etag }: Taken, hasConditions: boolean, options: LeaseOptions): Promise<Held> {
  const { store, log } = options;
  const own = ownLease(store, record, etag, hasConditions);
  if (!hasConditions) {
    log(`${store.name} has no conditional writes: two agents are told apart only by the newest epoch`);
  }
  const isFresh = await askFresh(own, options);
  const head = await fenceHead(store, { epoch: record.epoch, holder: record.holder.id }, async (found) =>
    isFresh ? { checkpoint: null, ancestors: [] } : newestHead(store, found, record, await listIds(store)),
  );
  const confirmedAt = stamp(options);
  await own.write({ fencedEpoch: record.epoch, parent: head.checkpoint });
  return holdLease(own, {
    clock: options.clock,
    monotonicMs: options.monotonicMs,
    log,
    renewMs: options.renewMs ?? 5_000,
    heartbeat: options.heartbeat ?? (() => null),
    previousEpoch: record.fencedEpoch,
    hasConditions,
    confirmedAt,
  });
}

async function askFresh(own: OwnLease, { fresh, log }: LeaseOptions): Promise<boolean> {
  try {
    return (await fresh?.()) ?? false;
  } catch (error) {
    await own.write({ released: true }).catch((failure) => log(`the lease will expire: ${messageOf(failure)}`));
    throw error;
  }
}
