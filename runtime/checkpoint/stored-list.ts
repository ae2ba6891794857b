/** What is in the store, with what each manifest says and whether it is of the lineage. */
import { compareCheckpointIds } from "../../common/checkpoint-id.ts";
import { hasCode, messageOf } from "../../common/errors.ts";
import { CHECKPOINTS_PREFIX, manifestKey, readLineage } from "../lease/index.ts";
import type { ObjectStore } from "../store/types.ts";
import { partsOfKey } from "./keys.ts";
import { MANIFEST, type Manifest, parseManifest, SUMS } from "./manifest.ts";

export interface StoredCheckpoint {
  id: string;
  /** Undefined: it has none, or one that cannot be read. */
  manifest: Manifest | undefined;
  /** Why it cannot be loaded, as far as a look at names and lengths tells. */
  problem: string | undefined;
  /** Of all its objects. */
  bytes: number;
  isInLineage: boolean;
  isHead: boolean;
}

const READS_AT_A_TIME = 8;

/** All of them, oldest first. Contents are not read; only a restore can tell whether they are whole. */
export async function listStored(store: ObjectStore): Promise<StoredCheckpoint[]> {
  const [objects, lineage] = await Promise.all([store.list(CHECKPOINTS_PREFIX), readLineage(store)]);
  const sizes = new Map<string, Map<string, number>>();
  for (const { key, bytes } of objects) {
    const parts = partsOfKey(key);
    if (!parts) continue;
    const files = sizes.get(parts.id) ?? new Map<string, number>();
    sizes.set(parts.id, files.set(parts.path, bytes));
  }
  const ids = [...sizes.keys()].sort(compareCheckpointIds);
  const found: StoredCheckpoint[] = [];
  for (let i = 0; i < ids.length; i += READS_AT_A_TIME) {
    found.push(...(await Promise.all(ids.slice(i, i + READS_AT_A_TIME).map(describe))));
  }
  return found;

  async function describe(id: string): Promise<StoredCheckpoint> {
    const files = sizes.get(id) ?? new Map<string, number>();
    const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
    const common = { id, bytes, isInLineage: lineage.includes(id), isHead: lineage[0] === id };
    if (!files.has(MANIFEST)) return { ...common, manifest: undefined, problem: "unfinished: it has no manifest" };
    try {
      const body = (await store.get(manifestKey(id)))?.body.toString() ?? "";
      const manifest = parseManifest(body, `${store.name}/${manifestKey(id)}`);
      return { ...common, manifest, problem: flawOf(manifest, files) };
    } catch (error) {
      if (!hasCode(error, "VL_CHECKPOINT_BAD")) throw error;
      return { ...common, manifest: undefined, problem: error.why ?? messageOf(error) };
    }
  }
}

function flawOf(manifest: Manifest, sizes: ReadonlyMap<string, number>): string | undefined {
  for (const { path, bytes } of manifest.files) {
    const size = sizes.get(path);
    if (size === undefined) return `${path} is missing`;
    if (size !== bytes) return `${path} has ${size} bytes instead of ${bytes}`;
  }
  return sizes.has(SUMS) ? undefined : `${SUMS} is missing`;
}
