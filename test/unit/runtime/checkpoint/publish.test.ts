import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Publication, publishFolder } from "../../../../runtime/checkpoint/index.ts";
import { sumsText } from "../../../../runtime/checkpoint/manifest.ts";
import { LeaseLost, readLineage } from "../../../../runtime/lease/index.ts";
import { type Content, ourFolder, plainFolder, sha256 } from "../../../helpers/checkpoint-folders.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { tenure } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

let dir: string;
let store: MemoryStore;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-publish-"));
  store = memoryStore();
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const publish = (folder: string, more: Partial<Publication> = {}) =>
  publishFolder({
    store,
    tenure: tenure(1),
    clock: fakeClock(),
    folder,
    outgoing: join(dir, "outgoing"),
    run: { runId: "stack/run", experiment: "char-gpt", contentHash: "c0de" },
    ...more,
  });

test("data goes first, then sums, manifest and head", async () => {
  const folder = plainFolder(join(dir, "local"), "step-200", { "a.bin": "A", "sub/b.bin": "B" });
  const manifest = await publish(folder, { metrics: { loss: 1.5 } });
  expect(store.writes.map(({ key }) => key)).toEqual([
    "checkpoints/step-00000200.e00001/a.bin",
    "checkpoints/step-00000200.e00001/sub/b.bin",
    "checkpoints/step-00000200.e00001/SHA256SUMS",
    "checkpoints/step-00000200.e00001/manifest.json",
    "latest.json",
  ]);
  expect(manifest).toEqual({
    format: 1,
    runId: "stack/run",
    id: "step-00000200.e00001",
    step: 200,
    epoch: 1,
    parent: null,
    time: "2026-01-01T00:00:00.000Z",
    files: [
      { path: "a.bin", bytes: 1, sha256: sha256("A"), crc32: "d3d99e8b" },
      { path: "sub/b.bin", bytes: 1, sha256: sha256("B"), crc32: "4ad0cf31" },
    ],
    metrics: { loss: 1.5 },
    experiment: "char-gpt",
    contentHash: "c0de",
    folder: "step-200",
  });
  expect(store.json("checkpoints/step-00000200.e00001/manifest.json")).toEqual(manifest);
  expect(store.objects.get("checkpoints/step-00000200.e00001/SHA256SUMS")?.body.toString()).toBe(
    sumsText(manifest.files),
  );
  expect(store.json("latest.json")).toMatchObject({ epoch: 1, checkpoint: "step-00000200.e00001" });
  expect(readdirSync(join(dir, "outgoing"))).toEqual([]);
});

test("each checkpoint has the one before it as its parent", async () => {
  await publish(plainFolder(dir, "step-100", { a: "1" }));
  const second = await publish(plainFolder(dir, "step-200", { a: "2" }));
  expect(second.parent).toBe("step-00000100.e00001");
  expect(await readLineage(store)).toEqual(["step-00000200.e00001", "step-00000100.e00001"]);
});

test("what the folder's own manifest says is kept", async () => {
  const folder = ourFolder(
    dir,
    300,
    { a: "1" },
    { metrics: { loss: 2 }, experiment: "mine", time: "2026-02-02T00:00:00.000Z" },
  );
  expect(await publish(folder)).toMatchObject({
    step: 300,
    metrics: { loss: 2 },
    experiment: "mine",
    time: "2026-02-02T00:00:00.000Z",
  });
});

test("a folder without a number takes the step that the caller knows", async () => {
  expect((await publish(plainFolder(dir, "last", { a: "1" }), { step: 7 })).id).toBe("step-00000007.e00001");
  await expect(publish(plainFolder(dir, "best", { a: "1" }))).rejects.toThrow("its step is not known");
});

test("a folder that does not match its manifest never becomes a checkpoint", async () => {
  const folder = ourFolder(dir, 300, { a: "1" });
  writeFileSync(join(folder, "a"), "2");
  await expect(publish(folder)).rejects.toMatchObject({ name: "DamagedCheckpoint", code: "VL_CHECKPOINT_BAD" });
  expect(store.writes.map(({ key }) => key)).not.toContain("checkpoints/step-00000300.e00001/manifest.json");
  expect(store.json("latest.json")).toBeUndefined();
});

test("publishing again uploads nothing, in this epoch and in the next", async () => {
  const folder = plainFolder(dir, "step-100", { a: "1" });
  await publish(folder);
  const writes = store.writes.length;
  await publish(folder);
  await publish(folder, { tenure: tenure(2) });
  expect(store.writes).toHaveLength(writes);
});

test("the same step with another result is a second take, and the first stays as it was", async () => {
  await publish(plainFolder(dir, "step-100", { a: "first" }));
  const second = await publish(plainFolder(join(dir, "again"), "step-100", { a: "second" }));
  expect(second).toMatchObject({ id: "step-00000100.e00001.2", parent: "step-00000100.e00001" });
  expect(store.objects.get("checkpoints/step-00000100.e00001/a")?.body.toString()).toBe("first");
  expect(await readLineage(store)).toEqual(["step-00000100.e00001.2", "step-00000100.e00001"]);
});

test("one that is damaged in the store is uploaded again", async () => {
  const folder = plainFolder(dir, "step-100", { a: "1" });
  const { id } = await publish(folder);
  await store.put(`checkpoints/${id}/a`, "x");
  expect((await publish(folder, { damaged: new Set([id]) })).id).toBe(id);
  expect(store.objects.get(`checkpoints/${id}/a`)?.body.toString()).toBe("1");
});

test("the command may prune the folder as soon as its files are held", async () => {
  const folder = plainFolder(dir, "step-100", { a: "1", b: "2" });
  const pruning = memoryStore({ faults: { before: () => rmSync(folder, { recursive: true, force: true }) } });
  const manifest = await publish(folder, { store: pruning });
  expect(manifest.files.map(({ path }) => path)).toEqual(["a", "b"]);
  expect(pruning.objects.get(`checkpoints/${manifest.id}/b`)?.body.toString()).toBe("2");
});

test("a writer that has lost the lease publishes no manifest", async () => {
  const lost = new LeaseLost(1, { epoch: 2 });
  const folder = plainFolder(dir, "step-100", { a: "1" });
  const late = tenure(1, "agent-1", () => Promise.reject(lost));
  await expect(publish(folder, { tenure: late })).rejects.toBe(lost);
  expect(store.json("checkpoints/step-00000100.e00001/manifest.json")).toBeUndefined();
});

test("a writer of an older epoch does not move the head", async () => {
  await publish(plainFolder(dir, "step-100", { a: "1" }), { tenure: tenure(2) });
  await expect(publish(plainFolder(dir, "step-200", { a: "2" }))).rejects.toMatchObject({ code: "VL_LEASE_LOST" });
  expect(await readLineage(store)).toEqual(["step-00000100.e00002"]);
});

describe("stopped anywhere and done again", () => {
  const content: Content = { a: "1", b: "2" };
  const keys = ["a", "b", "SHA256SUMS", "manifest.json"].map((path) => `checkpoints/step-00000200.e00001/${path}`);
  const cases = [...keys, "latest.json"].flatMap((key) => [[key, "before"] as const, [key, "after"] as const]);

  test.each(cases)("%s lost %s its effect: the same checkpoint, and the older one never lost", async (key, when) => {
    const older = (await publish(plainFolder(dir, "step-100", content))).id;
    const folder = plainFolder(dir, "step-200", { ...content, a: "other" });
    store.failNext({ op: key.endsWith(".json") || key.endsWith("SUMS") ? "put" : "upload", key, when, times: 1 });
    await publish(folder).catch(() => {});
    expect((await readLineage(store)).at(-1)).toBe(older);
    const { id } = await publish(folder);
    expect(await readLineage(store)).toEqual([id, older]);
    expect(id).toBe("step-00000200.e00001");
    expect(readdirSync(join(dir, "outgoing"))).toEqual([]);
  });
});

test("a store without conditions gets plain writes", async () => {
  store = memoryStore({ conditions: false });
  await publish(plainFolder(dir, "step-100", { a: "1" }));
  expect(await readLineage(store)).toEqual(["step-00000100.e00001"]);
});
