import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { publishFolder, type Restoration, restoreById, restoreNewest } from "../../../../runtime/checkpoint/index.ts";
import { lineage, readLineage } from "../../../../runtime/lease/index.ts";
import { type Content, ourFolder, plainFolder } from "../../../helpers/checkpoint-folders.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { tenure } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

let root: string;
let dir: string;
let store: MemoryStore;
let lines: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-restore-"));
  dir = join(root, "restored");
  mkdirSync(dir);
  store = memoryStore();
  lines = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function put(step: number, content: Content, make = plainFolder): Promise<string> {
  const folder = make(join(root, "local"), `step-${step}`, content);
  const run = { runId: "stack/run", experiment: "char-gpt", contentHash: "" };
  const outgoing = join(root, "outgoing");
  return (await publishFolder({ store, tenure: tenure(1), clock: fakeClock(), folder, outgoing, run })).id;
}

const restore = (more: Partial<Restoration> = {}) =>
  restoreNewest({ store, lineage: lineage(store), dir, log: (line) => lines.push(line), ...more });

test("the newest comes back whole, under the name that it had, with manifest and sums", async () => {
  await put(100, { a: "old" });
  const id = await put(200, { "a.bin": "A", "sub/b.bin": "B" });
  const restored = await restore();
  expect(restored).toMatchObject({ folder: join(dir, "step-200"), manifest: { id, step: 200 }, damaged: [] });
  expect(readFileSync(join(dir, "step-200", "sub", "b.bin"), "utf8")).toBe("B");
  expect(readdirSync(join(dir, "step-200")).sort()).toEqual(["SHA256SUMS", "a.bin", "manifest.json", "sub"]);
  expect(readdirSync(dir)).toEqual(["step-200"]);
});

test("nothing in the store is no error", async () => {
  expect(await restore()).toBeUndefined();
});

test("what is here already is not fetched again", async () => {
  await put(200, { a: "A" });
  await restore();
  const gets: string[] = [];
  const watched = store.view({ before: ({ op, key }) => void gets.push(`${op} ${key}`) });
  await restore({ store: watched });
  expect(gets.filter((call) => call.startsWith("download"))).toEqual([]);
});

test("a folder of that name with other content is replaced", async () => {
  await put(200, { a: "A" });
  plainFolder(dir, "step-200", { a: "something else", b: "" });
  await restore();
  expect(readFileSync(join(dir, "step-200", "a"), "utf8")).toBe("A");
  expect(readdirSync(dir)).toEqual(["step-200"]);
});

test.each<[string, (id: string) => Promise<unknown>, string]>([
  ["another byte", (id) => store.put(`checkpoints/${id}/a`, "X"), "a: it has other content than its manifest says"],
  ["a missing file", (id) => store.delete([`checkpoints/${id}/a`]), "a: there is no such object"],
  ["a shorter file", (id) => store.put(`checkpoints/${id}/a`, ""), "a: it has 0 bytes instead of 1"],
  ["a cut manifest", (id) => store.put(`checkpoints/${id}/manifest.json`, '{"format":1,'), "it is not JSON"],
])("%s: the one before is taken, and that is said", async (_what, harm, why) => {
  await put(100, { a: "old" });
  const id = await put(200, { a: "A" });
  await harm(id);
  const restored = await restore();
  expect(restored).toMatchObject({
    manifest: { step: 100 },
    damaged: [{ id, why: expect.stringContaining(why) }],
  });
  expect(lines.join("\n")).toContain(`checkpoint ${id} is damaged (`);
  expect(readdirSync(dir)).toEqual(["step-100"]);
});

test("when none is whole, each is said", async () => {
  const first = await put(100, { a: "old" });
  const second = await put(200, { a: "A" });
  for (const id of [first, second]) await store.put(`checkpoints/${id}/a`, "");
  await expect(restore()).rejects.toThrow(
    [
      "VL_CHECKPOINT_BAD: No checkpoint of memory://store is whole.",
      `  why: ${second}: a: it has 0 bytes instead of 1`,
      `       ${first}: a: it has 0 bytes instead of 3`,
      "  do:  begin again: vastlane up --fresh; what is there stays in the store",
    ].join("\n"),
  );
});

test("a store that does not answer is no reason to take an older one", async () => {
  await put(100, { a: "old" });
  await put(200, { a: "A" });
  store.failNext({ op: "download", times: 1 });
  await expect(restore()).rejects.not.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
  expect(await restore()).toMatchObject({ manifest: { step: 200 } });
});

test("an interrupted restore goes on with the files that are there", async () => {
  await put(200, { a: "A", b: "B" });
  store.failNext({ op: "download", key: "checkpoints/step-00000200.e00001/b" });
  await expect(restore()).rejects.toThrow();
  const fetched: string[] = [];
  const watched = store.view({ before: ({ op, key }) => void (op === "download" && fetched.push(key)) });
  await restore({ store: watched });
  expect(fetched).toEqual(["checkpoints/step-00000200.e00001/b"]);
});

test("one of a newer format, another run or experiment is refused, and no older one taken", async () => {
  await put(100, { a: "old" });
  const id = await put(200, { a: "A" });
  const manifest = store.json(`checkpoints/${id}/manifest.json`);
  await store.put(`checkpoints/${id}/manifest.json`, JSON.stringify({ ...manifest, format: 2 }));
  await expect(restore({ lineage: [id] })).rejects.toThrow("has format 2");
  await store.put(`checkpoints/${id}/manifest.json`, JSON.stringify(manifest));
  await expect(restore({ expected: { runId: "stack/other" } })).rejects.toThrow("belongs to run stack/run");
  await expect(restore({ expected: { experiment: "bigram" } })).rejects.toThrow("belongs to experiment char-gpt");
  expect(readdirSync(dir)).toEqual([]);
});

test("a manifest cannot name a folder or file elsewhere", async () => {
  const id = await put(200, { a: "A" });
  const manifest = store.json(`checkpoints/${id}/manifest.json`);
  await store.put(`checkpoints/${id}/manifest.json`, JSON.stringify({ ...manifest, folder: "../../elsewhere" }));
  expect((await restore())?.folder).toBe(join(dir, "step-00000200"));
});

test("files with the names of our own notes come back too", async () => {
  const content = { x: "1", "x.partial": "2", "x.upload": "3", "x.partial.parts": "4" };
  await put(200, content);
  const folder = (await restore())?.folder ?? "";
  for (const [path, text] of Object.entries(content)) expect(readFileSync(join(folder, path), "utf8")).toBe(text);
});

test("a single one is restored by its id, or its damage said", async () => {
  const id = await put(100, { a: "old" });
  await put(200, { a: "A" });
  expect((await restoreById(id, { store, dir, log: () => {} })).manifest.step).toBe(100);
  rmSync(dir, { recursive: true });
  mkdirSync(dir);
  await store.put(`checkpoints/${id}/a`, "");
  await expect(restoreById(id, { store, dir, log: () => {} })).rejects.toThrow(
    `VL_CHECKPOINT_BAD: Checkpoint ${id} in memory://store is damaged.\n  why: a: it has 0 bytes instead of 3.\n  do:  use the checkpoint before: vastlane checkpoints ls`,
  );
});

test("a checkpoint of our own trainer goes there and back unchanged", async () => {
  const folder = ourFolder(
    join(root, "local"),
    300,
    { "tensors.safetensors": "T", "state.json": "{}" },
    { metrics: { loss: 1 } },
  );
  writeFileSync(join(folder, "state.json"), "{}");
  const run = { runId: "stack/run", experiment: null, contentHash: "" };
  await publishFolder({ store, tenure: tenure(1), clock: fakeClock(), folder, outgoing: join(root, "outgoing"), run });
  const restored = await restore();
  expect(restored?.manifest).toMatchObject({ id: "step-00000300.e00001", metrics: { loss: 1 } });
  expect(await readLineage(store)).toEqual(["step-00000300.e00001"]);
});
