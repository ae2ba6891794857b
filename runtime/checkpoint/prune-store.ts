/** Removes checkpoints from the store: by the rules of retention, or because a person asks for it. */
import { parseCheckpointId } from "../../common/checkpoint-id.ts";
import { CHECKPOINTS_PREFIX, manifestKey } from "../lease/index.ts";
import type { ObjectStore } from "../store/types.ts";
import { keyOf, partsOfKey } from "./keys.ts";
import { MANIFEST, parseManifest } from "./manifest.ts";
import { type Kept, type Retention, surplusOf } from "./retention.ts";

export interface StorePruner {
  /** Applies the rules to a lineage (newest first). Gives the ids that it has removed. */
  prune(lineage: readonly string[], damaged?: ReadonlySet<string>): Promise<string[]>;
}

/** Remembers the metrics that it has read: manifests never change. */
export function createPruner(store: ObjectStore, rules: Retention): StorePruner {
  const known = new Map<string, Kept>();
  return {
    async prune(lineage, damaged = new Set()) {
      if (rules.keepRemote === null) return [];
      const kept = await Promise.all(
        lineage.map(async (id) => known.get(id) ?? ((rules.keepBest ?? 0) > 0 ? readKept(store, id) : keptOf(id))),
      );
      for (const checkpoint of kept) known.set(checkpoint.id, checkpoint);
      const surplus = surplusOf(kept, rules, damaged);
      for (const id of surplus) await removeStored(store, id);
      return surplus;
    },
  };
}

/**
 * Removes a checkpoint: its manifest first, so that it is no checkpoint from the first moment on. Repeated after a
 * kill, it removes what is left.
 */
export async function removeStored(store: ObjectStore, id: string): Promise<void> {
  await store.delete([manifestKey(id)]);
  const left = await store.list(keyOf(id, ""));
  await store.delete(left.map(({ key }) => key));
}

/** Ids below which there is data and no manifest: uploads that were cut, or removals. */
export async function listUnfinished(store: ObjectStore): Promise<string[]> {
  const whole = new Map<string, boolean>();
  for (const { key } of await store.list(CHECKPOINTS_PREFIX)) {
    const parts = partsOfKey(key);
    if (parts) whole.set(parts.id, (whole.get(parts.id) ?? false) || keyOf(parts.id, MANIFEST) === key);
  }
  return [...whole].filter(([, hasManifest]) => !hasManifest).map(([id]) => id);
}

const keptOf = (id: string): Kept => ({ id, step: parseCheckpointId(id)?.step ?? 0, metrics: {} });

async function readKept(store: ObjectStore, id: string): Promise<Kept> {
  const found = await store.get(manifestKey(id));
  if (!found) return keptOf(id);
  try {
    const { step, metrics } = parseManifest(found.body.toString(), id);
    return { id, step, metrics: metrics ?? {} };
  } catch {
    return keptOf(id); // damaged: it counts for nothing but its step
  }
}
