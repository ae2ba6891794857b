/**
 * latest.json: which checkpoint is the newest of the lineage, and which epoch may say so. Moving it and fencing it are
 * conditional writes on the same object, so that a writer whose epoch is over cannot move it, however late it comes.
 * An epoch is one holder's; a head that already says what was to be written is therefore our own lost reply.
 */
import { randomUUID } from "node:crypto";
import { readStored, STORED_FORMAT } from "../../common/stored-json.ts";
import { ConditionFailed, type ObjectStore } from "../store/types.ts";
import { LeaseLost } from "./lost.ts";
import type { Head, Tenure } from "./types.ts";

export const HEAD_KEY = "latest.json";
/** Older members of the lineage are found by their manifests' parents. */
export const MAX_ANCESTORS = 256;

/** Bounds the rounds of conditional writes; only the two sides of one takeover ever write at the same time. */
const MAX_ROUNDS = 32;

export interface FoundHead {
  /** Undefined when there is none, or a damaged one. */
  head: Head | undefined;
  /** Of the object, damaged or not. */
  etag: string | undefined;
}

/** @throws UserError VL_STORE_*; VL_CHECKPOINT_BAD when a newer vastlane has written it */
export async function readHead(store: ObjectStore): Promise<FoundHead> {
  const found = await store.get(HEAD_KEY);
  if (!found) return { head: undefined, etag: undefined };
  const stored = readStored(HEAD_KEY, found.body);
  return { head: "fields" in stored ? headOf(stored.fields) : undefined, etag: found.etag };
}

/**
 * Makes `checkpoint`, whose manifest is in the store, the newest of the lineage. Done already is done.
 * @throws LeaseLost when the tenure is over; UserError VL_STORE_* when it is not known whether it happened
 */
export async function moveHead(store: ObjectStore, tenure: Tenure, checkpoint: string): Promise<Head> {
  await tenure.assertHeld();
  return changeHead(store, async ({ head }) => {
    if (!head || head.epoch < tenure.epoch) {
      // Only by hand or without conditional writes: the fence was undone. Whoever holds the lease now sets it again.
      await tenure.assertHeld(0);
      return { epoch: tenure.epoch, holder: tenure.holder, checkpoint, ancestors: [] };
    }
    assertOurs(head, tenure);
    if (head.checkpoint === checkpoint || head.ancestors.includes(checkpoint)) return head;
    const ancestors = head.checkpoint === null ? [] : [head.checkpoint, ...head.ancestors];
    return { ...head, checkpoint, ancestors: ancestors.slice(0, MAX_ANCESTORS) };
  });
}

/**
 * Ends every older epoch: from the moment this is written they cannot move the head. `accept` says which checkpoint
 * the new epoch goes on from, given the head as it was; it is asked again when an older writer was faster.
 * @throws LeaseLost when a newer epoch has fenced already; UserError VL_STORE_*
 */
export async function fenceHead(
  store: ObjectStore,
  { epoch, holder }: Pick<Tenure, "epoch" | "holder">,
  accept: (found: FoundHead) => Promise<Pick<Head, "checkpoint" | "ancestors">>,
): Promise<Head> {
  return changeHead(store, async (found) => {
    if (found.head && found.head.epoch >= epoch) {
      assertOurs(found.head, { epoch, holder });
      return found.head;
    }
    return { epoch, holder, ...(await accept(found)) };
  });
}

/** @throws LeaseLost unless the head is this holder's to move */
export function assertOurs(head: Head, { epoch, holder }: Pick<Tenure, "epoch" | "holder">): void {
  if (head.epoch !== epoch || head.holder !== holder) throw new LeaseLost(epoch, { epoch: head.epoch });
}

/** Reads, changes and writes until nobody came between. Returning the same head writes nothing. */
async function changeHead(store: ObjectStore, change: (found: FoundHead) => Promise<Head>): Promise<Head> {
  let failure: unknown;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const found = await readHead(store);
    const next = await change(found);
    if (next === found.head) return next;
    if (failure !== undefined && !(failure instanceof ConditionFailed)) throw failure;
    const hasConditions = await store.hasConditions();
    const condition = found.etag === undefined ? ({ ifNoneMatch: "*" } as const) : { ifMatch: found.etag };
    const body = JSON.stringify({ format: STORED_FORMAT, ...next, writeId: randomUUID() });
    try {
      await store.put(HEAD_KEY, body, hasConditions ? condition : undefined);
      return next;
    } catch (error) {
      // Read once more: somebody was faster, or the reply to our own write was lost.
      failure = error;
    }
  }
  throw failure;
}

function headOf(fields: Record<string, unknown>): Head | undefined {
  const { epoch, holder, checkpoint, ancestors } = fields;
  if (!Number.isSafeInteger(epoch) || (epoch as number) < 0) return undefined;
  if (checkpoint !== null && typeof checkpoint !== "string") return undefined;
  return {
    epoch: epoch as number,
    holder: typeof holder === "string" ? holder : "",
    checkpoint,
    ancestors: Array.isArray(ancestors) ? ancestors.filter((id) => typeof id === "string") : [],
  };
}
