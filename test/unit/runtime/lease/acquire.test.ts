import { describe, expect, test } from "vitest";
import { UserError } from "../../../../common/errors.ts";
import { acquireLease, describeWaiting, moveHead, readLineage, type Waiting } from "../../../../runtime/lease/index.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";
import { holder, leaseOptions, putManifest } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore, storeDown } from "../../../helpers/memory-store.ts";

function world(conditions = true): { clock: FakeClock; store: MemoryStore } {
  const clock = fakeClock();
  return { clock, store: memoryStore({ clock, conditions }) };
}

test("takes a run that nobody has, with epoch 1", async () => {
  const { clock, store } = world();
  const held = await acquireLease(leaseOptions(store, clock, "a"));
  expect(held).toMatchObject({ epoch: 1, holder: "a", parent: null, previousEpoch: 0, hasConditions: true });
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

test("a takeover goes on from a manifest whose writer was killed before it could move the head", async () => {
  const { clock, store } = world();
  const first = await acquireLease(leaseOptions(store, clock, "a"));
  await putManifest(store, "step-00000100.e00001", null);
  await moveHead(store, first, "step-00000100.e00001");
  await putManifest(store, "step-00000200.e00001", "step-00000100.e00001");
  first.abandon();
  const second = await acquireLease(leaseOptions(store, clock, "b"));
  expect(second.parent).toBe("step-00000200.e00001");
  expect(store.json("latest.json")).toMatchObject({
    epoch: 2,
    checkpoint: "step-00000200.e00001",
    ancestors: ["step-00000100.e00001"],
  });
  second.abandon();
});

test("of 64 that try at once one gets each epoch", async () => {
  const { clock, store } = world();
  const order: number[] = [];
  const agents = Array.from({ length: 64 }, async (_, i) => {
    const held = await acquireLease(leaseOptions(store, clock, `agent-${i}`));
    order.push(held.epoch);
    await held.release();
  });
  await Promise.all(agents);
  expect(order).toEqual(Array.from({ length: 64 }, (_, i) => i + 1));
});

describe("what is in the lease's place", () => {
  test("none, but newer epochs elsewhere: the next epoch is above all of them", async () => {
    const { clock, store } = world();
    await putManifest(store, "step-00000100.e00007", null);
    const held = await acquireLease(leaseOptions(store, clock, "a"));
    expect(held).toMatchObject({ epoch: 8, parent: "step-00000100.e00007" });
    await store.delete(["lease.json"]);
    const next = await acquireLease(leaseOptions(store, clock, "b"));
    expect(next.epoch).toBe(9);
    held.abandon();
    next.abandon();
  });

  test("a damaged one is waited for as long as a good one, then replaced", async () => {
    const { clock, store } = world();
    await store.put("lease.json", "{ half");
    const seen: Waiting[] = [];
    const held = await acquireLease(leaseOptions(store, clock, "a", { onWaiting: (waiting) => seen.push(waiting) }));
    expect(clock.passed()).toBeGreaterThan(16_000);
    expect(held.epoch).toBe(1);
    expect(describeWaiting(seen[0] as Waiting)).toBe("the run's lease is damaged; taken over once it is 15 s old");
    held.abandon();
  });

  test("one of a newer vastlane is left alone", async () => {
    const { clock, store } = world();
    await store.put("lease.json", JSON.stringify({ format: 2, epoch: 1 }));
    await expect(acquireLease(leaseOptions(store, clock, "a"))).rejects.toThrow(
      "VL_CHECKPOINT_BAD: lease.json was written by a newer vastlane.",
    );
    expect(store.json("lease.json")).toEqual({ format: 2, epoch: 1 });
  });

  test("a holder without any words for itself", async () => {
    const { clock, store } = world();
    const lease = { format: 1, epoch: 3, holder: { id: "x" }, fencedEpoch: 3, parent: null };
    await store.put("lease.json", JSON.stringify(lease));
    const seen: Waiting[] = [];
    const held = await acquireLease(leaseOptions(store, clock, "a", { onWaiting: (waiting) => seen.push(waiting) }));
    expect(describeWaiting(seen[0] as Waiting)).toBe(
      "an unnamed machine, process 0 holds the run and was last heard of 0 s ago",
    );
    held.abandon();
  });
});

describe("a store with faults", () => {
  test.each([
    ["lease.json", "before"],
    ["lease.json", "after"],
    ["latest.json", "before"],
    ["latest.json", "after"],
  ] as const)("a write of %s that is lost %s its effect only takes another try", async (key, when) => {
    const { clock, store } = world();
    store.failNext({ op: "put", key, when });
    const options = leaseOptions(store, clock, "a");
    const held = await acquireLease(options);
    expect(clock.passed()).toBeLessThanOrEqual(2_000);
    expect(store.json("lease.json")).toMatchObject({ epoch: held.epoch, fencedEpoch: held.epoch });
    expect(store.json("latest.json")).toMatchObject({ epoch: held.epoch });
    held.abandon();
  });

  test("epochs that never began do not come between", async () => {
    const { clock, store } = world();
    (await acquireLease(leaseOptions(store, clock, "a"))).abandon();
    store.failNext({ op: "put", key: "latest.json", times: 2 });
    const again = await acquireLease(leaseOptions(store, clock, "a"));
    expect(again).toMatchObject({ epoch: 4, previousEpoch: 1 });
    again.abandon();
  });

  test("is waited for while it is down; that is said once", async () => {
    const clock = fakeClock();
    const from = clock.now();
    const isDown = () => clock.now() - from < 60_000;
    const before = () => {
      if (isDown()) throw storeDown();
    };
    const store = memoryStore({ clock, faults: { before } });
    const options = leaseOptions(store, clock, "a");
    const held = await acquireLease(options);
    expect(options.lines).toEqual([
      expect.stringMatching(/^waiting for the store: VL_STORE_DOWN/),
      "the store answers again",
    ]);
    held.abandon();
  });

  test("what does not pass by itself is thrown", async () => {
    const { clock, store } = world();
    const denied = new UserError("VL_STORE_DENIED", { what: "no" });
    store.failNext({ op: "get", error: denied });
    await expect(acquireLease(leaseOptions(store, clock, "a"))).rejects.toBe(denied);
  });

  test("the waiting can be ended", async () => {
    const { clock, store } = world();
    const held = await acquireLease(leaseOptions(store, clock, "a"));
    const stop = new AbortController();
    clock.after(7_000, () => stop.abort(new Error("enough")));
    await expect(acquireLease(leaseOptions(store, clock, "b", { signal: stop.signal }))).rejects.toThrow("enough");
    held.abandon();
  });
});

test("one that was overtaken while it took the lease waits like any other", async () => {
  const { clock, store } = world();
  let isFirst = true;
  const rival = { epoch: 0 };
  const slow = store.view({
    async before({ op, key }) {
      if (!isFirst || op !== "put" || key !== "latest.json") return;
      isFirst = false;
      await clock.sleep(20_000); // between the lease and the fence, longer than the lease lives
      const held = await acquireLease(leaseOptions(store, clock, "b"));
      rival.epoch = held.epoch;
      clock.after(10_000, () => void held.release());
    },
  });
  const options = leaseOptions(slow, clock, "a");
  const held = await acquireLease(options);
  expect(rival.epoch).toBe(2);
  expect(held.epoch).toBe(3);
  expect(options.lines).toEqual([
    expect.stringMatching(/^the lease was lost while taking it: epoch 1 was followed by epoch 2/),
  ]);
  held.abandon();
});

describe("a store without conditional writes", () => {
  test("is said once; of two that try at once one gets the run", async () => {
    const { clock, store } = world(false);
    const lines: string[][] = [];
    const begun: string[] = [];
    const agents = ["a", "b"].map(async (id) => {
      const options = leaseOptions(store, clock, id);
      lines.push(options.lines);
      const held = await acquireLease(options);
      begun.push(id);
      expect(held.hasConditions).toBe(false);
      await clock.sleep(60_000);
      await held.release();
    });
    await clock.sleep(50_000);
    expect(begun).toHaveLength(1);
    await Promise.all(agents);
    for (const said of lines) {
      expect(said).toEqual([
        "memory://store has no conditional writes: two agents are told apart only by the newest epoch",
      ]);
    }
  });

  test("what an old epoch still writes is not loaded: the newest epoch wins when it is read", async () => {
    const { clock, store } = world(false);
    const first = await acquireLease(leaseOptions(store, clock, "a"));
    await putManifest(store, "step-00000100.e00001", null);
    await moveHead(store, first, "step-00000100.e00001");
    first.abandon();
    const second = await acquireLease(leaseOptions(store, clock, "b"));
    await putManifest(store, "step-00000150.e00002", "step-00000100.e00001");
    await moveHead(store, second, "step-00000150.e00002");
    // The old writer had looked at the head before the takeover, and writes now.
    await putManifest(store, "step-00000200.e00001", "step-00000100.e00001");
    const stale = { format: 1, epoch: 1, holder: "a", checkpoint: "step-00000200.e00001", ancestors: [] };
    await store.put("latest.json", JSON.stringify(stale));
    expect(await readLineage(store)).toEqual(["step-00000150.e00002", "step-00000100.e00001"]);
    await moveHead(store, second, "step-00000150.e00002");
    expect(store.json("latest.json")).toMatchObject({ epoch: 2, checkpoint: "step-00000150.e00002" });
    await expect(moveHead(store, first, "step-00000200.e00001")).rejects.toThrow("VL_LEASE_LOST");
    second.abandon();
  });

  test("a holder whose lease an older one has overwritten takes it back; the older one loses it", async () => {
    const { clock, store } = world(false);
    const first = await acquireLease(leaseOptions(store, clock, "a"));
    const old = store.objects.get("lease.json")?.body as Buffer;
    first.abandon();
    const second = await acquireLease(leaseOptions(store, clock, "b"));
    await store.put("lease.json", old);
    await second.renew();
    expect(store.json("lease.json")).toMatchObject({ epoch: 2, holder: { id: "b" } });
    await expect(first.renew()).rejects.toThrow("VL_LEASE_LOST");
    second.abandon();
  });
});
