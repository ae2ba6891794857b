/**
 * The lineage: the run's checkpoints that may be loaded, newest first. latest.json names the newest and the ones
 * before it. Without it (removed or damaged by hand) the lease says what was accepted last. Whether a checkpoint is
 * whole is for its reader to find out; then the next one of the lineage is its turn.
 */
import { compareCheckpointIds, parseCheckpointId } from "../../common/checkpoint-id.ts";
import { readStored } from "../../common/stored-json.ts";
import type { ObjectStore } from "../store/types.ts";
import { assertOurs, type FoundHead, readHead } from "./head.ts";
import { readLease } from "./lease-record.ts";
import type { Head, LeaseRecord, Tenure } from "./types.ts";

export const CHECKPOINTS_PREFIX = "checkpoints/";

/** Manifests of the head's epoch that it does not know are looked into one by one; more than a few never count. */
const MAX_PENDING = 8;
const MAX_LINEAGE = 10_000;

/** A checkpoint whose manifest is in the store. */
export interface StoredId {
  id: string;
  step: number;
  epoch: number;
  /** When its manifest was written, by the store's clock, in whole seconds. */
  writtenMs: number;
}

export function manifestKey(id: string): string {
  return `${CHECKPOINTS_PREFIX}${id}/manifest.json`;
}

/** All checkpoints with a manifest, of the lineage or not, in the order in which they were written. */
export async function listIds(store: ObjectStore): Promise<StoredId[]> {
  const found: StoredId[] = [];
  for (const { key, lastModifiedMs } of await store.list(CHECKPOINTS_PREFIX)) {
    const id = /^checkpoints\/([^/]+)\/manifest\.json$/.exec(key)?.[1];
    const parsed = id === undefined ? undefined : parseCheckpointId(id);
    if (id === undefined || !parsed) continue;
    found.push({ id, step: parsed.step, epoch: parsed.epoch, writtenMs: lastModifiedMs });
  }
  return found.sort((a, b) => a.writtenMs - b.writtenMs || compareCheckpointIds(a.id, b.id));
}

/** The highest epoch that has written a checkpoint; 0 when there is none. */
export function newestEpoch(present: readonly StoredId[]): number {
  return present.reduce((highest, { epoch }) => Math.max(highest, epoch), 0);
}

/** The lineage's ids, newest first; only such whose manifest is there. Reads further back only when asked on. */
export async function* lineage(store: ObjectStore): AsyncGenerator<string> {
  const [found, lease, present] = await Promise.all([readHead(store), readLease(store), listIds(store)]);
  const { checkpoint, ancestors } = await newestHead(store, found, lease?.record, present);
  const here = new Set(present.map(({ id }) => id));
  const seen = new Set<string>();
  let last: string | null = null;
  for (const id of checkpoint === null ? [] : [checkpoint, ...ancestors]) {
    last = id;
    if (!seen.has(id) && here.has(id)) yield id;
    seen.add(id);
  }
  // Beyond the ancestors that latest.json holds. Parents of removed checkpoints are not known: it ends there.
  while (last !== null && here.has(last) && seen.size < MAX_LINEAGE) {
    last = (await parentOf(store, last)) ?? null;
    if (last === null || seen.has(last)) return;
    seen.add(last);
    if (here.has(last)) yield last;
  }
}

export async function readLineage(store: ObjectStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of lineage(store)) ids.push(id);
  return ids;
}

/**
 * The newest checkpoint of the lineage and those before it, given what is in the store. A manifest that the head's own
 * epoch has written on top of the head counts as well: its writer was killed before it could move the head.
 */
export async function newestHead(
  store: ObjectStore,
  { head }: FoundHead,
  lease: LeaseRecord | undefined,
  present: readonly StoredId[],
): Promise<Pick<Head, "checkpoint" | "ancestors">> {
  if (!head || isUndone(head, lease)) return { checkpoint: fallback(lease, present), ancestors: [] };
  const known = head.checkpoint === null ? [] : [head.checkpoint, ...head.ancestors];
  let pending = await pendingOn(store, head, known, present);
  // Written before the next fence only if there was none yet after it was seen.
  if (pending.length > 0 && (await readHead(store)).head?.epoch !== head.epoch) pending = [];
  const [checkpoint = null, ...ancestors] = [...pending, ...known];
  return { checkpoint, ancestors };
}

/**
 * What a new checkpoint is put on top of: its `checkpoint` is the parent. Where somebody has removed the head by hand,
 * it is what the lease and the manifests say; moving the head sets it again.
 * @throws LeaseLost; UserError VL_STORE_*
 */
export async function headToBuildOn(
  store: ObjectStore,
  tenure: Pick<Tenure, "epoch" | "holder">,
): Promise<Pick<Head, "checkpoint" | "ancestors">> {
  const found = await readHead(store);
  if (found.head && found.head.epoch >= tenure.epoch) {
    assertOurs(found.head, tenure);
    return found.head;
  }
  const [lease, present] = await Promise.all([readLease(store), listIds(store)]);
  return newestHead(store, found, lease?.record, present);
}

/** A head older than the last fence: an old writer has set it after somebody removed it, or without conditions. */
function isUndone(head: Head, lease: LeaseRecord | undefined): boolean {
  return lease !== undefined && head.epoch < lease.fencedEpoch;
}

/** Newest first. */
async function pendingOn(
  store: ObjectStore,
  head: Head,
  known: readonly string[],
  present: readonly StoredId[],
): Promise<string[]> {
  // Not by whether they are younger than the head: a store's clock can be set back.
  const candidates = present.filter(({ id, epoch }) => epoch === head.epoch && !known.includes(id)).slice(-MAX_PENDING);
  const pending: string[] = [];
  for (const { id } of candidates) {
    const parent = await parentOf(store, id);
    if (parent === head.checkpoint || (parent && pending.includes(parent))) pending.unshift(id);
  }
  return pending;
}

/** The newest checkpoint where latest.json does not say. */
function fallback(lease: LeaseRecord | undefined, present: readonly StoredId[]): string | null {
  const newestOf = (epoch: number) => present.findLast((it) => it.epoch === epoch)?.id;
  if (lease && lease.fencedEpoch > 0) return newestOf(lease.fencedEpoch) ?? lease.parent;
  return newestOf(newestEpoch(present)) ?? null;
}

/** The parent in its manifest: null for the first one, undefined when the manifest is not there or cannot be read. */
async function parentOf(store: ObjectStore, id: string): Promise<string | null | undefined> {
  const found = await store.get(manifestKey(id));
  if (!found) return undefined;
  const stored = readStored(manifestKey(id), found.body);
  if ("damaged" in stored) return undefined;
  const { parent } = stored.fields;
  return parent === null || typeof parent === "string" ? parent : undefined;
}
