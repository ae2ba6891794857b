/** Uploads beside a command that goes on, over a store in memory and a clock that passes by itself. */
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startUploads, type UploadOptions, type Uploads } from "../../../../../runtime/agent/keeper/uploads.ts";
import { KEEP_ALL } from "../../../../../runtime/checkpoint/index.ts";
import { LeaseLost, readHead, readLineage } from "../../../../../runtime/lease/index.ts";
import { ourFolder, plainFolder } from "../../../../helpers/checkpoint-folders.ts";
import { type FakeClock, fakeClock } from "../../../../helpers/fake-clock.ts";
import { tenure } from "../../../../helpers/lease.ts";
import { type MemoryStore, memoryStore, storeDown } from "../../../../helpers/memory-store.ts";

interface World {
  clock: FakeClock;
  store: MemoryStore;
  dir: string;
  log: string[];
  losses: LeaseLost[];
  start(more?: Partial<UploadOptions>): Uploads;
  /** Lets fake time pass until the condition holds. */
  until(condition: () => unknown): Promise<void>;
}

function makeWorld(hooks: Parameters<typeof memoryStore>[0] = {}): World {
  const root = mkdtempSync(join(tmpdir(), "vastlane-uploads-"));
  const clock = fakeClock();
  const store = memoryStore({ clock, ...hooks });
  const running: Uploads[] = [];
  onTestFinished(() => {
    for (const uploads of running) uploads.stop();
    rmSync(root, { recursive: true, force: true });
  });
  const world: World = {
    clock,
    store,
    dir: join(root, "checkpoints"),
    log: [],
    losses: [],
    start(more = {}) {
      const uploads = startUploads({
        store,
        tenure: tenure(1),
        clock,
        log: (line) => world.log.push(line),
        dir: world.dir,
        outgoing: join(root, "outgoing"),
        run: { runId: "stack/run", experiment: null, contentHash: "" },
        keepLast: 2,
        retention: KEEP_ALL,
        damaged: new Set(),
        restored: [],
        metrics: () => ({ loss: 1 }),
        onLost: (loss) => world.losses.push(loss),
        ...more,
      });
      running.push(uploads);
      return uploads;
    },
    async until(condition) {
      for (let i = 0; i < 2_000; i += 1) {
        if (await condition()) return;
        await clock.sleep(100);
      }
      throw new Error(`never: ${condition}\n${world.log.join("\n")}`);
    },
  };
  return world;
}

const head = async (world: World) => (await readHead(world.store)).head?.checkpoint;
const names = (dir: string) => readdirSync(dir).sort();

test("the newest goes first, and those before it not at all", async () => {
  const world = makeWorld();
  for (const step of [100, 200, 300]) ourFolder(world.dir, step, { w: `weights of ${step}` });
  const uploads = world.start();
  await world.until(() => uploads.newest()?.step === 300);
  await world.clock.sleep(5_000);
  expect(await readLineage(world.store)).toEqual(["step-00000300.e00001"]);
  expect(uploads.isSaved()).toBe(true);
  expect(uploads.problem()).toBeNull();
});

test("each new one follows, and old local ones go by keepLast once a newer one is in the store", async () => {
  const world = makeWorld();
  const uploads = world.start();
  for (const step of [100, 200, 300, 400]) {
    ourFolder(world.dir, step, { w: `weights of ${step}` });
    await world.until(() => uploads.newest()?.step === step);
  }
  expect(await head(world)).toBe("step-00000400.e00001");
  expect(names(world.dir)).toEqual(["step-00000300", "step-00000400"]);
});

test("nothing local goes while the store is away, and what is there at its return is uploaded", async () => {
  let isDown = true;
  let tries = 0;
  const before = () => {
    if (!isDown) return;
    tries += 1;
    throw storeDown();
  };
  const world = makeWorld({ faults: { before } });
  const uploads = world.start();
  for (const step of [100, 200, 300, 400]) ourFolder(world.dir, step, { w: `weights of ${step}` });
  await world.until(() => uploads.problem() !== null);
  await world.clock.sleep(10 * 60_000);
  expect(uploads.problem()).toMatch(/^not in the store: step-00000400 \(VL_STORE_DOWN: .*\)$/);
  expect(tries).toBeLessThan(30); // 1, 2, 4 ... 30 s
  expect(tries).toBeGreaterThan(15);
  expect(names(world.dir)).toHaveLength(4);
  isDown = false;
  await world.until(() => uploads.newest()?.step === 400);
  expect(uploads.problem()).toBeNull();
  expect(world.log.at(-1)).toContain("uploads work again");
});

test("waiting for the end asks the store soon, again and again, but not without a pause", async () => {
  let tries = 0;
  const before = () => {
    tries += 1;
    throw storeDown();
  };
  const world = makeWorld({ faults: { before } });
  const uploads = world.start();
  ourFolder(world.dir, 100, { w: "weights" });
  await world.until(() => tries > 6);
  tries = 0;
  const grace = new AbortController();
  world.clock.after(60_000, () => grace.abort());
  expect(await uploads.settle(grace.signal)).toBe(false);
  expect(tries).toBeGreaterThan(10);
  expect(tries).toBeLessThan(30);
  expect(uploads.isSaved()).toBe(false);
});

test("a folder without a manifest is taken when it is quiet, or when the command is over", async () => {
  const world = makeWorld();
  const uploads = world.start();
  const folder = plainFolder(world.dir, "step-7", { a: "0" });
  expect(uploads.isSaved()).toBe(false);
  for (let i = 0; i < 20; i += 1) {
    writeFileSync(join(folder, "a"), "x".repeat(i + 1));
    await world.clock.sleep(500);
  }
  expect(uploads.newest()).toBeNull();
  expect(await uploads.settle(new AbortController().signal)).toBe(true);
  expect(uploads.newest()).toMatchObject({ id: "step-00000007.e00001", step: 7, folder: "step-7" });
  expect(world.store.json("checkpoints/step-00000007.e00001/manifest.json")).toMatchObject({ metrics: { loss: 1 } });
});

test("a command that makes them faster than one can be told to be quiet is uploaded all the same", async () => {
  const world = makeWorld();
  const uploads = world.start();
  for (let step = 1; step <= 60; step += 1) {
    plainFolder(world.dir, `step-${step}`, { a: String(step) });
    if (step > 8) rmSync(join(world.dir, `step-${step - 8}`), { recursive: true, force: true });
    await world.clock.sleep(300);
  }
  expect(uploads.newest()?.step).toBeGreaterThan(45);
});

test("a checkpoint that the command removes while it is uploaded arrives whole", async () => {
  const world: World = makeWorld({
    faults: {
      before({ op }) {
        if (op === "upload") rmSync(join(world.dir, "step-00000100"), { recursive: true, force: true });
      },
    },
  });
  ourFolder(world.dir, 100, { a: "first", b: "second" });
  const uploads = world.start();
  await world.until(() => uploads.newest()?.step === 100);
  expect(world.store.objects.get("checkpoints/step-00000100.e00001/b")?.body.toString()).toBe("second");
});

test("a damaged one is said and not published; the one before it is", async () => {
  const world = makeWorld();
  ourFolder(world.dir, 100, { w: "good" });
  const damaged = ourFolder(world.dir, 200, { w: "good" });
  writeFileSync(join(damaged, "w"), "evil");
  const uploads = world.start();
  await world.until(() => uploads.newest()?.step === 100);
  expect(world.log.join("\n")).toContain("step-00000200 is damaged and was not uploaded");
  expect(await uploads.settle(new AbortController().signal)).toBe(true);
  expect(await readLineage(world.store)).toEqual(["step-00000100.e00001"]);
});

test("a name without a number is said once, and keeps nothing else from the store", async () => {
  const world = makeWorld();
  plainFolder(world.dir, "best", { a: "x" });
  const uploads = world.start();
  await world.until(() => uploads.problem() !== null);
  expect(uploads.problem()).toContain("its step is not known");
  plainFolder(world.dir, "step-5", { a: "x" });
  await world.until(() => uploads.newest()?.step === 5);
  expect(world.log.filter((line) => line.includes("its step is not known"))).toHaveLength(1);
});

test("files, hidden and unfinished folders, and links to elsewhere are no checkpoints", async () => {
  const world = makeWorld();
  for (const name of [".step-9", "step-9.tmp", "step-9.partial"]) plainFolder(world.dir, name, { a: "x" });
  writeFileSync(join(world.dir, "step-10"), "a file");
  const elsewhere = plainFolder(join(world.dir, ".."), "secrets-11", { key: "never to be sent" });
  symlinkSync(elsewhere, join(world.dir, "step-11"));
  const folder = plainFolder(world.dir, "step-3", { a: "x" });
  symlinkSync(join(elsewhere, "key"), join(folder, "link"));
  const uploads = world.start();
  await world.until(() => uploads.newest()?.step === 3);
  await world.clock.sleep(5_000);
  expect(await readLineage(world.store)).toEqual(["step-00000003.e00001"]);
  const sent = [...world.store.objects.values()].map(({ body }) => body.toString()).join();
  expect(sent).not.toContain("never to be sent");
});

test("a step that is written anew is uploaded anew", async () => {
  const world = makeWorld();
  ourFolder(world.dir, 100, { w: "first" });
  const uploads = world.start();
  await world.until(() => uploads.newest()?.step === 100);
  renameSync(join(world.dir, "step-00000100"), join(world.dir, ".old"));
  ourFolder(world.dir, 100, { w: "other" });
  await world.until(() => uploads.newest()?.id === "step-00000100.e00001.2");
  expect(await head(world)).toBe("step-00000100.e00001.2");
});

test("what came from the store is not sent back", async () => {
  const world = makeWorld();
  const folder = ourFolder(world.dir, 100, { w: "weights" });
  const uploads = world.start({ restored: [basename(folder)] });
  await world.clock.sleep(10_000);
  expect(uploads.isSaved()).toBe(true);
  expect(world.store.writes).toEqual([]);
});

test("once the run is another's nothing more is written, and it is told", async () => {
  const world = makeWorld();
  ourFolder(world.dir, 100, { w: "weights" });
  const lost = tenure(1, "agent-1", async () => {
    throw new LeaseLost(1, { epoch: 2 });
  });
  const uploads = world.start({ tenure: lost });
  await world.until(() => world.losses.length > 0);
  uploads.stop();
  await world.clock.sleep(10_000);
  expect(existsSync(world.dir)).toBe(true);
  expect(world.store.objects.has("latest.json")).toBe(false);
  expect(world.store.objects.has("checkpoints/step-00000100.e00001/manifest.json")).toBe(false);
});

test("an agent that has lost the run removes nothing from the store", async () => {
  let isLost = false;
  const world = makeWorld({
    faults: {
      after({ op, key }) {
        if (op === "put" && key === "latest.json") isLost = true; // frozen right after it has moved the head
      },
    },
  });
  const checked = tenure(1, "agent-1", async () => {
    if (isLost) throw new LeaseLost(1, { epoch: 2 });
  });
  const retention = { keepRemote: 2, keepEvery: null, keepBest: null };
  for (const step of [100, 200, 300, 400]) {
    isLost = false;
    ourFolder(world.dir, step, { w: `weights of ${step}` });
    const uploads = world.start({ tenure: checked, retention });
    await world.until(() => world.losses.length > 0);
    uploads.stop();
    world.losses.length = 0;
  }
  expect(await readLineage(world.store)).toHaveLength(4);
  for (const step of [100, 200, 300, 400]) {
    expect(world.store.objects.has(`checkpoints/step-00000${step}.e00001/manifest.json`)).toBe(true);
  }
});
