import { describe, expect, test } from "vitest";
import { UserError } from "../../../../common/errors.ts";
import { acquireLease, describeWaiting, type Waiting } from "../../../../runtime/lease/index.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";
import { holder, leaseOptions, putManifest } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

function world(conditions = true): { clock: FakeClock; store: MemoryStore } {
  const clock = fakeClock();
  return { clock, store: memoryStore({ clock, conditions }) };
}

test("takes a run that nobody has, with epoch 1", async () => {
  const { clock, store } = world();
  const held = await acquireLease(leaseOptions(store, clock, "a"));
  expect(held).toMatchObject({ epoch: 1, holder: "a", parent: null, hasConditions: true });
  expect(store.json("lease.json")).toMatchObject({ epoch: 1, fencedEpoch: 1, parent: null, released: false });
  expect(store.json("latest.json")).toMatchObject({ format: 1, epoch: 1, holder: "a", checkpoint: null });
  await held.release();
  expect(store.json("lease.json")).toMatchObject({ epoch: 1, released: true });
});

test("waits while another holds it, says who, and takes it over at once when it is given back", async () => {
  const { clock, store } = world();
  const first = await acquireLease(leaseOptions(store, clock, "a"));
  const seen: Waiting[] = [];
  clock.after(31_000, () => void first.release());
  const second = await acquireLease(leaseOptions(store, clock, "b", { onWaiting: (waiting) => seen.push(waiting) }));
  expect(clock.passed()).toBeLessThanOrEqual(34_000);
  expect(second.epoch).toBe(2);
  expect(Math.max(...seen.map(({ ageSeconds }) => ageSeconds))).toBeLessThanOrEqual(6);
  expect(describeWaiting(seen[0] as Waiting)).toBe(
    "host-a, process 1 holds the run since 2026-01-01T00:00:00Z and was last heard of 0 s ago",
  );
  second.abandon();
});

test("takes over from a silent holder once the lease is older than its time to live, not before", async () => {
  const { clock, store } = world();
  (await acquireLease(leaseOptions(store, clock, "a"))).abandon();
  const second = await acquireLease(leaseOptions(store, clock, "b"));
  expect(clock.passed()).toBeGreaterThan(16_000);
  expect(clock.passed()).toBeLessThanOrEqual(19_000);
  expect(second.epoch).toBe(2);
  second.abandon();
});

test("the same machine takes its own lease over at once, a copy of its disk elsewhere does not", async () => {
  const { clock, store } = world();
  (await acquireLease(leaseOptions(store, clock, "a", { holder: holder("a", 7) }))).abandon();
  const again = await acquireLease(leaseOptions(store, clock, "a", { holder: holder("a", 7) }));
  expect(clock.passed()).toBe(0);
  expect(again.epoch).toBe(2);
  again.abandon();
  const copy = await acquireLease(leaseOptions(store, clock, "a", { holder: holder("a", 8) }));
  expect(clock.passed()).toBeGreaterThan(16_000);
  copy.abandon();
});

test("a takeover accepts the newest checkpoint, and ends the old epoch's right to move the head", async () => {
  const { clock, store } = world();
  const first = await acquireLease(leaseOptions(store, clock, "a"));
  const { moveHead } = await import("../../../../runtime/lease/index.ts");
  await putManifest(store, "step-00000100.e00001", null);
  await moveHead(store, first, "step-00000100.e00001");
  first.abandon();
  const second = await acquireLease(leaseOptions(store, clock, "b"));
  expect(second.parent).toBe("step-00000100.e00001");
  await expect(moveHead(store, first, "step-00000200.e00001")).rejects.toThrow("VL_LEASE_LOST");
  expect(store.json("latest.json")).toMatchObject({ epoch: 2, checkpoint: "step-00000100.e00001" });
  second.abandon();
});

describe("a fresh start", () => {
  test("begins without a checkpoint; what was there stays in the store, out of the lineage", async () => {
    const { clock, store } = world();
    const { moveHead, readLineage } = await import("../../../../runtime/lease/index.ts");
    const first = await acquireLease(leaseOptions(store, clock, "a"));
    await putManifest(store, "step-00000100.e00001", null);
    await moveHead(store, first, "step-00000100.e00001");
    await first.release();
    const second = await acquireLease(leaseOptions(store, clock, "b", { fresh: async () => true }));
    expect(second.parent).toBeNull();
    expect(await readLineage(store)).toEqual([]);
    expect(store.objects.has("checkpoints/step-00000100.e00001/manifest.json")).toBe(true);
    second.abandon();
  });

  test("is asked for under the lease; a refusal gives the lease back", async () => {
    const { clock, store } = world();
    const refusal = new UserError("VL_RUN_CLOSED", { what: "The run has ended." });
    const fresh = () => {
      expect(store.json("lease.json")).toMatchObject({ holder: { id: "a" }, released: false, fencedEpoch: 0 });
      throw refusal;
    };
    await expect(acquireLease(leaseOptions(store, clock, "a", { fresh }))).rejects.toBe(refusal);
    expect(store.json("lease.json")).toMatchObject({ released: true });
    expect(store.json("latest.json")).toBeUndefined();
  });
});
