/** What tests of the lease and of its users need: a holder, options over a store in memory, a made-up tenure. */
import type { Clock } from "../../common/clock.ts";
import type { LeaseOptions } from "../../runtime/lease/index.ts";
import { manifestKey } from "../../runtime/lease/index.ts";
import type { Holder, Tenure } from "../../runtime/lease/types.ts";
import type { ObjectStore } from "../../runtime/store/types.ts";

export function holder(id: string, contractId: number | null = null): Holder {
  return { id, contractId, hostname: `host-${id}`, pid: 1 };
}

/** Options for the holder `id`; `lines` gets its log. */
export function leaseOptions(
  store: ObjectStore,
  clock: Clock,
  id: string,
  more: Partial<LeaseOptions> = {},
): LeaseOptions & { lines: string[] } {
  const lines: string[] = [];
  const monotonicMs = () => clock.now();
  return {
    store,
    clock,
    monotonicMs,
    runId: "s/run",
    holder: holder(id),
    log: (line) => lines.push(line),
    lines,
    ...more,
  };
}

/** A tenure that is held, or what else `assertHeld` is to do. */
export function tenure(epoch: number, id = `agent-${epoch}`, assertHeld = async (_maxAgeMs?: number) => {}): Tenure {
  return { epoch, holder: id, assertHeld };
}

/** Puts a manifest with the fields that the lineage reads. */
export async function putManifest(store: ObjectStore, id: string, parent: string | null): Promise<void> {
  await store.put(manifestKey(id), JSON.stringify({ format: 1, id, parent }), { ifNoneMatch: "*" });
}
