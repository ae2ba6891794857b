import { beforeEach, describe, expect, test } from "vitest";
import { fenceHead, moveHead } from "../../../../runtime/lease/head.ts";
import { headToBuildOn, lineage, listIds, manifestKey, readLineage } from "../../../../runtime/lease/lineage.ts";
import { holder, putManifest, tenure } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

const id = (step: number, epoch = 1) => `step-${String(step).padStart(8, "0")}.e${String(epoch).padStart(5, "0")}`;
const latest = (epoch: number, checkpoint: string | null, ancestors: string[] = []) =>
  JSON.stringify({ format: 1, epoch, holder: `agent-${epoch}`, checkpoint, ancestors });
const lease = (epoch: number, fencedEpoch: number, parent: string | null) =>
  JSON.stringify({ format: 1, runId: "r", epoch, holder: holder("x"), fencedEpoch, parent, ttlSeconds: 15 });

let nowMs = 0;
let store: MemoryStore;
beforeEach(() => {
  nowMs = Date.UTC(2026, 0, 1);
  store = memoryStore({ clock: { now: () => nowMs, sleep: async () => {} } });
});

/** A manifest, and time passes. */
async function write(name: string, parent: string | null): Promise<void> {
  await putManifest(store, name, parent);
  nowMs += 5_000;
}

async function publish(step: number, epoch = 1): Promise<void> {
  const parent = (store.json("latest.json") as { checkpoint: string | null }).checkpoint;
  await write(id(step, epoch), parent);
  await moveHead(store, tenure(epoch), id(step, epoch));
}

describe("with a head", () => {
  beforeEach(async () => {
    await fenceHead(store, tenure(1), async () => ({ checkpoint: null, ancestors: [] }));
  });

  test("is empty before the first checkpoint", async () => {
    expect(await readLineage(store)).toEqual([]);
  });

  test("goes from the newest to the first, and reads no manifest for those that the head names", async () => {
    for (const step of [100, 200, 300]) await publish(step);
    const read: string[] = [];
    const watched = store.view({ before: ({ op, key }) => void (op === "get" && read.push(key)) });
    const ids = lineage(watched);
    expect([(await ids.next()).value, (await ids.next()).value]).toEqual([id(300), id(200)]);
    expect(read.sort()).toEqual(["latest.json", "lease.json"]);
    expect(await readLineage(store)).toEqual([id(300), id(200), id(100)]);
  });

  test("leaves out what retention has removed, without losing what is behind it", async () => {
    for (const step of [100, 200, 300, 400]) await publish(step);
    await store.delete([manifestKey(id(200)), manifestKey(id(300))]);
    expect(await readLineage(store)).toEqual([id(400), id(100)]);
  });

  test("holds what the head's epoch wrote on top of it before it was killed", async () => {
    await publish(100);
    await write(id(200), id(100));
    expect(await readLineage(store)).toEqual([id(200), id(100)]);
  });

  test("of two such tries the later one comes first", async () => {
    await publish(100);
    await write(id(200), id(100));
    await write(id(300), id(100));
    expect(await readLineage(store)).toEqual([id(300), id(200), id(100)]);
  });

  test("holds nothing that an older epoch writes after the fence", async () => {
    await publish(100);
    await fenceHead(store, tenure(2), async () => ({ checkpoint: id(100), ancestors: [] }));
    await write(id(200), id(100));
    expect(await readLineage(store)).toEqual([id(100)]);
  });

  test("nor one that was seen just as its epoch ended", async () => {
    await publish(100);
    await write(id(200), id(100));
    const late = store.view({
      async before({ op, key }) {
        if (op !== "get" || key !== manifestKey(id(200))) return;
        await fenceHead(store, tenure(2), async () => ({ checkpoint: id(100), ancestors: [] }));
      },
    });
    expect(await readLineage(late)).toEqual([id(100)]);
  });

  test("goes on by the manifests' parents where the head's list ends", async () => {
    await write(id(100), null);
    await write(id(200), id(100));
    await write(id(300), id(200));
    await store.put("latest.json", latest(1, id(300)));
    expect(await readLineage(store)).toEqual([id(300), id(200), id(100)]);
  });

  test("ends where parents go round in a circle, are missing, or cannot be read", async () => {
    await write(id(100), id(200));
    await write(id(200), id(100));
    await write(id(300), id(200));
    await store.put("latest.json", latest(1, id(300)));
    expect(await readLineage(store)).toEqual([id(300), id(200), id(100)]);
    await store.put(manifestKey(id(400)), "{ half");
    await store.put("latest.json", latest(1, id(400)));
    expect(await readLineage(store)).toEqual([id(400)]);
    await store.put("latest.json", latest(1, id(900)));
    expect(await readLineage(store)).toEqual([]);
  });

  test("refuses a manifest of a newer vastlane", async () => {
    await store.put(manifestKey(id(300)), JSON.stringify({ format: 2 }));
    await store.put("latest.json", latest(1, id(300)));
    await expect(readLineage(store)).rejects.toThrow("manifest.json was written by a newer vastlane");
  });

  test("passes over keys that are no checkpoints of ours", async () => {
    await store.put("checkpoints/notes/manifest.json", "{}");
    await store.put("checkpoints/README", "");
    await publish(100);
    expect((await listIds(store)).map((found) => found.id)).toEqual([id(100)]);
  });
});

describe("the head to build on", () => {
  test("is the head", async () => {
    await fenceHead(store, tenure(1), async () => ({ checkpoint: null, ancestors: [] }));
    await publish(100);
    expect(await headToBuildOn(store, tenure(1))).toMatchObject({ checkpoint: id(100) });
  });

  test("where somebody has removed it, is what lease and manifests say, so that the chain of parents holds", async () => {
    await write(id(100), null);
    await write(id(200, 2), id(100));
    await store.put("lease.json", lease(2, 2, id(100)));
    expect(await headToBuildOn(store, tenure(2))).toMatchObject({ checkpoint: id(200, 2) });
  });

  test("is nobody's whose epoch is over", async () => {
    await fenceHead(store, tenure(2), async () => ({ checkpoint: null, ancestors: [] }));
    await expect(headToBuildOn(store, tenure(1))).rejects.toThrow("VL_LEASE_LOST");
  });
});

describe("without a head that can be used", () => {
  test("nothing at all is an empty lineage", async () => {
    expect(await readLineage(store)).toEqual([]);
  });

  test.each([
    ["removed", undefined],
    ["damaged", "{ half"],
    ["older than the last fence", latest(1, id(150))],
  ])("%s: the newest that the last fenced epoch wrote, and its parents", async (_, text) => {
    await write(id(100), null);
    await write(id(150), id(100));
    await write(id(200, 2), id(100));
    await write(id(160), id(150));
    await store.put("lease.json", lease(2, 2, id(100)));
    if (text !== undefined) await store.put("latest.json", text);
    expect(await readLineage(store)).toEqual([id(200, 2), id(100)]);
  });

  test("the last fence's parent when that epoch has written nothing yet", async () => {
    await write(id(100), null);
    await write(id(150), id(100));
    await store.put("lease.json", lease(3, 2, id(100)));
    expect(await readLineage(store)).toEqual([id(100)]);
  });

  test("nothing of before a fresh start", async () => {
    await write(id(100), null);
    await store.put("lease.json", lease(2, 2, null));
    expect(await readLineage(store)).toEqual([]);
  });

  test("without a lease, the newest of the newest epoch", async () => {
    await write(id(100), null);
    await write(id(110, 2), id(100));
    await write(id(200), id(100));
    expect(await readLineage(store)).toEqual([id(110, 2), id(100)]);
  });
});
