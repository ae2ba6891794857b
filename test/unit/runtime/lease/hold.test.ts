import { describe, expect, test } from "vitest";
import { acquireLease, type Held, LeaseLost, moveHead } from "../../../../runtime/lease/index.ts";
import type { LeaseHeartbeat } from "../../../../runtime/lease/types.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";
import { holder, leaseOptions, putManifest } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore, type StoreCall, storeDown } from "../../../helpers/memory-store.ts";

interface Scene {
  clock: FakeClock;
  store: MemoryStore;
  held: Held;
  lines: string[];
  /** Calls on lease.json since the lease was taken. */
  calls: StoreCall[];
  /** Lets time pass as if nothing here had run. */
  freeze(ms: number): void;
  isDown: boolean;
}

async function scene(more: Parameters<typeof leaseOptions>[3] = {}): Promise<Scene> {
  const clock = fakeClock();
  const calls: StoreCall[] = [];
  let frozenMs = 0;
  const before = (call: StoreCall) => {
    if (found.isDown) throw storeDown();
    if (call.key === "lease.json") calls.push(call);
  };
  const store = memoryStore({ clock, faults: { before } });
  const found = { clock, store, calls, isDown: false } as unknown as Scene;
  const options = leaseOptions(store, clock, "a", { monotonicMs: () => clock.now() + frozenMs, ...more });
  found.held = await acquireLease(options);
  found.lines = options.lines;
  found.freeze = (ms) => {
    frozenMs += ms;
  };
  calls.length = 0;
  return found;
}

/** Another agent takes the run although it is held. */
async function takeOver({ store, clock }: Pick<Scene, "store" | "clock">): Promise<void> {
  const lease = store.json("lease.json") as { epoch: number };
  const taken = { ...lease, epoch: lease.epoch + 1, holder: holder("b", 12) };
  await store.put("lease.json", JSON.stringify(taken));
  await store.put(
    "latest.json",
    JSON.stringify({ format: 1, epoch: taken.epoch, holder: "b", checkpoint: null, ancestors: [] }),
  );
  await clock.sleep(0);
}

test("renews every five seconds, with one write and what the holder says about itself", async () => {
  let step = 0;
  const heartbeat = () => ({ step: ++step, state: "running" }) as LeaseHeartbeat;
  const { clock, store, held, calls } = await scene({ heartbeat });
  await clock.sleep(30_500);
  expect(calls.map(({ op }) => op)).toEqual(Array(6).fill("put"));
  expect(store.json("lease.json")).toMatchObject({ epoch: 1, heartbeat: { state: "running", step } });
  await held.release();
});

test("a change can be told at once", async () => {
  const { store, held, calls } = await scene({ heartbeat: () => ({ state: "done" }) as LeaseHeartbeat });
  await held.renew();
  expect(calls).toHaveLength(1);
  expect(store.json("lease.json")).toMatchObject({ heartbeat: { state: "done" } });
  await held.release();
});

describe("a reply that was lost", () => {
  test("is no loss: the next renewal finds its own lease and goes on", async () => {
    const { clock, store, held } = await scene();
    store.failNext({ op: "put", key: "lease.json", when: "after" });
    await clock.sleep(12_000);
    const { writeId } = store.json("lease.json") as { writeId: string };
    await held.renew();
    expect(store.json("lease.json")).not.toMatchObject({ writeId });
    expect(held.lostSignal.aborted).toBe(false);
    await held.release();
  });
});

describe("a store that is down", () => {
  test("is no loss; it is said once, and again when it is over", async () => {
    const here = await scene();
    here.isDown = true;
    await here.clock.sleep(300_000);
    expect(here.held.lostSignal.aborted).toBe(false);
    here.isDown = false;
    await here.clock.sleep(6_000);
    expect(here.lines).toEqual([
      expect.stringMatching(/^the lease could not be renewed, work goes on: VL_STORE_DOWN/),
      expect.stringMatching(/^the lease is renewed again, after 30\d s$/),
    ]);
    await here.held.assertHeld();
    await here.held.release();
  });

  test("keeps anything from being published once the last renewal is older than the lease lives", async () => {
    const here = await scene();
    here.isDown = true;
    await here.clock.sleep(10_000);
    await here.held.assertHeld();
    await here.clock.sleep(6_000);
    await expect(here.held.assertHeld()).rejects.toThrow("VL_STORE_DOWN");
    here.isDown = false;
    await here.held.assertHeld();
    await here.held.release();
  });

  test("when it answers again and another has the run, it is lost", async () => {
    const here = await scene();
    here.isDown = true;
    await here.clock.sleep(60_000);
    here.isDown = false;
    await takeOver(here);
    expect(await here.held.lost).toBeInstanceOf(LeaseLost);
  });
});

describe("losing it", () => {
  test("is told within one renewal, with who has it now", async () => {
    const here = await scene();
    await takeOver(here);
    const lost = await here.held.lost;
    expect(here.clock.passed()).toBeLessThanOrEqual(5_000);
    expect(here.held.lostSignal.reason).toBe(lost);
    expect(lost.message).toBe(
      [
        "VL_LEASE_LOST: Another agent has taken this run over.",
        "  why: epoch 1 was followed by epoch 2 on host-b (contract 12), process 1",
        "  do:  nothing to do: what was still written here is not used; end one of the two machines if both are meant to go",
      ].join("\n"),
    );
  });

  test("ends everything: no renewal, no publishing, nothing given back", async () => {
    const here = await scene();
    await takeOver(here);
    const lost = await here.held.lost;
    const lease = store(here);
    await expect(here.held.renew()).rejects.toBe(lost);
    await expect(here.held.assertHeld()).rejects.toBe(lost);
    await putManifest(here.store, "step-00000001.e00001", null);
    await expect(moveHead(here.store, here.held, "step-00000001.e00001")).rejects.toBe(lost);
    await here.held.release();
    await here.clock.sleep(20_000);
    expect(store(here)).toEqual(lease);
  });

  test("a lease of a newer vastlane is one that was taken over", async () => {
    const here = await scene();
    await here.store.put("lease.json", JSON.stringify({ format: 2 }));
    expect((await here.held.lost).why).toBe("epoch 1 was followed by a newer vastlane");
    expect(store(here)).toEqual({ format: 2 });
  });

  const store = (here: Scene) => here.store.json("lease.json");
});

test("a lease that was removed or damaged by hand is written again", async () => {
  const here = await scene();
  await here.store.delete(["lease.json"]);
  await here.clock.sleep(6_000);
  expect(here.store.json("lease.json")).toMatchObject({ epoch: 1, holder: { id: "a" } });
  await here.store.put("lease.json", "{ half");
  await here.clock.sleep(6_000);
  expect(here.store.json("lease.json")).toMatchObject({ epoch: 1, holder: { id: "a" } });
  await here.held.release();
});

describe("after a freeze", () => {
  test("it renews at once, and publishes nothing before", async () => {
    const here = await scene();
    await here.clock.sleep(2_500);
    here.freeze(60_000);
    await here.held.assertHeld();
    expect(here.calls.map(({ op }) => op)).toEqual(["put"]);
    await here.held.release();
  });

  test("a second later at most it knows that another has the run", async () => {
    const here = await scene();
    await here.clock.sleep(2_500);
    await takeOver(here);
    here.freeze(60_000);
    const from = here.clock.passed();
    await here.held.lost;
    expect(here.clock.passed() - from).toBeLessThanOrEqual(1_000);
    expect(here.lines).toContainEqual(
      expect.stringMatching(/^nothing ran here for 6\d s; renewing the lease before anything else$/),
    );
  });

  test("a request from before it, which never ends, holds nothing up", async () => {
    let hang = false;
    const clock = fakeClock();
    let frozenMs = 0;
    const store = memoryStore({
      clock,
      faults: {
        before: async ({ op, key }) => {
          if (!hang || op !== "put" || key !== "lease.json") return;
          hang = false;
          await new Promise(() => {});
        },
      },
    });
    const held = await acquireLease(leaseOptions(store, clock, "a", { monotonicMs: () => clock.now() + frozenMs }));
    hang = true;
    await clock.sleep(6_000);
    await takeOver({ store, clock });
    frozenMs = 60_000;
    await held.lost;
    expect(clock.passed()).toBeLessThanOrEqual(7_000);
  });

  test("a clock that is set back counts as one", async () => {
    const clock = fakeClock();
    let setBackMs = 0;
    const skewed = { ...clock, now: () => clock.now() - setBackMs };
    const calls: StoreCall[] = [];
    const store = memoryStore({ clock, faults: { before: (call) => void calls.push(call) } });
    const held = await acquireLease(leaseOptions(store, skewed, "a", { monotonicMs: () => 0 }));
    calls.length = 0;
    setBackMs = 3_600_000;
    await held.assertHeld();
    expect(calls).toHaveLength(1);
    await held.release();
  });
});

describe("being sure of it now", () => {
  test("takes one renewal, or a second one where one was on its way already", async () => {
    const { held, calls } = await scene();
    await held.assertHeld(0);
    expect(calls).toHaveLength(1);
    await Promise.all([held.renew(), held.assertHeld(0), held.assertHeld(0)]);
    expect(calls).toHaveLength(3);
    await held.release();
  });

  test("does not wait for a clock that was set back to catch up", async () => {
    const clock = fakeClock();
    let setBackMs = 0;
    const skewed = { ...clock, now: () => clock.now() - setBackMs };
    const store = memoryStore({ clock });
    const held = await acquireLease(leaseOptions(store, skewed, "a", { monotonicMs: () => 0 }));
    const sure = held.assertHeld(0);
    setBackMs = 60_000;
    await sure;
    await held.release();
  });
});

test("giving back is tried, and leaves the lease to expire when the store is down", async () => {
  const here = await scene();
  here.isDown = true;
  await here.held.release();
  expect(here.lines).toEqual([
    expect.stringMatching(/^the lease could not be given back and will expire: VL_STORE_DOWN/),
  ]);
  here.calls.length = 0;
  await here.clock.sleep(60_000);
  expect(here.calls).toEqual([]);
});
