/** The keeper as the agent uses it, over a store in memory: what is written at an end, and what is not. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type Keeper, type KeeperOptions, openKeeper } from "../../../../../runtime/agent/keeper/index.ts";
import { outputKey, saveOutput } from "../../../../../runtime/agent/keeper/output.ts";
import { parseRun } from "../../../../../runtime/agent/run-file.ts";
import { acquireLease, type LeaseLost, readHead } from "../../../../../runtime/lease/index.ts";
import type { ObjectStore } from "../../../../../runtime/store/types.ts";
import { ourFolder } from "../../../../helpers/checkpoint-folders.ts";
import { type FakeClock, fakeClock } from "../../../../helpers/fake-clock.ts";
import { holder, leaseOptions } from "../../../../helpers/lease.ts";
import { type MemoryStore, memoryStore, type StoreHooks } from "../../../../helpers/memory-store.ts";

interface World {
  clock: FakeClock;
  store: MemoryStore;
  dir: string;
  keeper: Keeper;
  said: string[];
  /** Of the workspace. */
  saves: number;
  cost: number;
}

function makeWorld(hooks: StoreHooks = {}, more: Partial<KeeperOptions> = {}): World {
  const root = mkdtempSync(join(tmpdir(), "vastlane-keeper-"));
  const clock = fakeClock();
  const store = memoryStore({ clock });
  const world = { clock, store, dir: join(root, "checkpoints"), said: [] as string[], saves: 0, cost: 0 } as World;
  world.keeper = openKeeper({
    store: { ...(store.view(hooks) as ObjectStore), close() {} } as KeeperOptions["store"],
    run: parseRun({ runId: "stack/run", codeHash: "c1", paramsHash: "p1", command: ["x"] }, "/w"),
    holder: holder("a"),
    checkpointDir: world.dir,
    outgoing: join(root, "outgoing"),
    memoryFile: join(root, "memory.json"),
    clock,
    log: () => {},
    say: (line) => world.said.push(line),
    heartbeat: () => null as never,
    spentHere: () => world.cost,
    metrics: () => ({}),
    saveWorkspace: async () => {
      world.saves += 1;
    },
    ...more,
  });
  onTestFinished(async () => {
    await world.keeper.leave(AbortSignal.timeout(100));
    rmSync(root, { recursive: true, force: true });
  });
  return world;
}

const never = () => new AbortController().signal;
const facts = { step: 400, reason: null };
const at = async (world: World) => (await readHead(world.store)).head?.checkpoint;

test("a run that is done is in the store: newest checkpoint, workspace, then the record", async () => {
  const world = makeWorld();
  await world.keeper.claim(never());
  ourFolder(world.dir, 400, { w: "weights" });
  world.cost = 2;
  expect(await world.keeper.finish("done", facts, never())).toBe(true);
  expect(await at(world)).toBe("step-00000400.e00001");
  expect(world.saves).toBe(1);
  expect(world.store.json("run.json")).toMatchObject({ status: "done", finalStep: 400, spentUsd: 2 });
  expect(world.keeper.saved()).toMatchObject({ isSaved: true, step: 400, problem: null });
  const order = world.store.writes.map(({ key }) => key.replace(/^checkpoints\/[^/]+\//, ""));
  expect(order.lastIndexOf("latest.json")).toBeLessThan(order.lastIndexOf("run.json"));
});

test("an idle machine leaves the run open", async () => {
  const world = makeWorld();
  await world.keeper.claim(never());
  expect(await world.keeper.finish("idle", facts, never())).toBe(true);
  expect(world.saves).toBe(1);
  expect(world.store.json("run.json")).toMatchObject({ status: "running" });
});

test("who is told to stop before the workspace has been brought back saves none over it", async () => {
  const world = makeWorld({}, { restoreWorkspace: () => new Promise(() => {}) });
  const stop = new AbortController();
  void world.keeper.claim(stop.signal).catch(() => {});
  while (!world.store.objects.has("run.json")) await world.clock.sleep(100);
  stop.abort();
  await world.keeper.leave(AbortSignal.timeout(200));
  expect(world.saves).toBe(0);
  expect(world.store.json("lease.json")).toMatchObject({ released: true });
});

test("time that is over while the run is brought back closes it, after what was cut off has ended", async () => {
  let release = () => {};
  const world = makeWorld({}, { restoreWorkspace: () => new Promise((done) => (release = done)) });
  const stop = new AbortController();
  const claim = world.keeper.claim(stop.signal).catch((error) => error);
  while (!world.store.objects.has("run.json")) await world.clock.sleep(100);
  stop.abort(new Error("time is over"));
  const finish = world.keeper.finish("over-budget", { step: null, reason: "time is over" }, never());
  await world.clock.sleep(1_000);
  expect(world.store.json("run.json")).toMatchObject({ status: "running" });
  release();
  expect(await finish).toBe(true);
  expect(String(await claim)).toContain("time is over");
  expect(world.saves).toBe(0);
  expect(world.store.json("run.json")).toMatchObject({ status: "over-budget", reason: "time is over" });
});

test("a machine that has only waited closes nothing", async () => {
  const world = makeWorld();
  const other = await acquireLease(leaseOptions(world.store, world.clock, "b"));
  const stop = new AbortController();
  const claim = world.keeper.claim(stop.signal).catch(() => {});
  while (world.said.length === 0) await world.clock.sleep(100);
  expect(world.keeper.saved().problem).toMatch(/^waiting: host-b, process 1 holds the run since /);
  stop.abort();
  await claim;
  expect(await world.keeper.finish("over-budget", { step: null, reason: "time is over" }, never())).toBe(true);
  expect(world.store.objects.has("run.json")).toBe(false);
  await other.release();
});

test("a store that answers nothing any more does not hold up leaving", async () => {
  let isStalled = false;
  const stalled = { before: () => (isStalled ? new Promise<void>(() => {}) : undefined) };
  const world = makeWorld(stalled);
  await world.keeper.claim(never());
  ourFolder(world.dir, 400, { w: "weights" });
  isStalled = true;
  const grace = new AbortController();
  world.clock.after(5_000, () => grace.abort());
  const before = world.clock.passed();
  await world.keeper.leave(grace.signal);
  expect(world.clock.passed() - before).toBeLessThan(9_000);
});

test("every few minutes the workspace is saved, and what the run has cost is written down", async () => {
  const world = makeWorld();
  await world.keeper.claim(never());
  for (let second = 0; second < 20 * 60; second += 5) {
    world.cost = second / 1000;
    world.keeper.saveNowAndThen();
    await world.clock.sleep(5_000);
  }
  expect(world.saves).toBeGreaterThanOrEqual(6);
  expect(world.saves).toBeLessThanOrEqual(8);
  expect(world.store.json("run.json")?.spentUsd).toBeGreaterThan(0.9);
  expect(world.keeper.spentUsd()).toBeCloseTo(1.195, 3);
});

test("who is taken over says so once, and writes nothing any more", async () => {
  const world = makeWorld();
  const losses: LeaseLost[] = [];
  world.keeper.onLost((loss) => losses.push(loss));
  await world.keeper.claim(never());
  const lease = world.store.json("lease.json");
  await world.store.put("lease.json", JSON.stringify({ ...lease, epoch: 2, holder: holder("b"), writeId: "b" }));
  while (losses.length === 0) await world.clock.sleep(500);
  expect(losses[0]?.message).toContain("VL_LEASE_LOST");
  const { length } = world.store.writes;
  ourFolder(world.dir, 500, { w: "late" });
  expect(await world.keeper.finish("done", facts, AbortSignal.timeout(300))).toBe(false);
  world.keeper.saveNowAndThen();
  await world.clock.sleep(60_000);
  expect(world.store.writes).toHaveLength(length);
  expect(losses).toHaveLength(1);
});

test("a workspace that cannot be saved keeps the machine, and says why", async () => {
  const world = makeWorld({}, { saveWorkspace: () => Promise.reject(new Error("EIO: i/o error, read")) });
  await world.keeper.claim(never());
  expect(await world.keeper.finish("done", facts, never())).toBe(true);
  expect(world.keeper.saved()).toMatchObject({ isSaved: false, problem: expect.stringContaining("EIO") });
  expect(world.store.json("run.json")).toMatchObject({ status: "done" });
});

test("of long output its end is saved, and of none nothing", async () => {
  const store = memoryStore();
  const folder = mkdtempSync(join(tmpdir(), "vastlane-output-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "logs"));
  const path = join(folder, "logs", "output.log");
  await saveOutput(store, 3, path);
  writeFileSync(path, "");
  await saveOutput(store, 3, path);
  expect(store.objects.size).toBe(0);
  writeFileSync(path, `${"x".repeat(2 << 20)}the end`);
  await saveOutput(store, 3, path);
  const saved = store.objects.get(outputKey(3))?.body;
  expect(saved?.length).toBe(1 << 20);
  expect(saved?.toString().endsWith("the end")).toBe(true);
  expect(readFileSync(path).length).toBe((2 << 20) + 7);
});
