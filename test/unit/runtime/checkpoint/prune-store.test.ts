import { beforeEach, expect, test } from "vitest";
import {
  createPruner,
  KEEP_ALL,
  listStored,
  listUnfinished,
  removeStored,
} from "../../../../runtime/checkpoint/index.ts";
import { manifestText, sumsText } from "../../../../runtime/checkpoint/manifest.ts";
import { moveHead, readLineage } from "../../../../runtime/lease/index.ts";
import { manifestOf } from "../../../helpers/checkpoint-folders.ts";
import { tenure } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

let store: MemoryStore;
beforeEach(() => {
  store = memoryStore();
});

async function put(step: number, loss: number): Promise<string> {
  const id = `step-${String(step).padStart(8, "0")}.e00001`;
  const parent = (await readLineage(store))[0] ?? null;
  const manifest = manifestOf(step, { a: "A" }, { id, epoch: 1, parent, metrics: { loss } });
  await store.put(`checkpoints/${id}/a`, "A");
  await store.put(`checkpoints/${id}/SHA256SUMS`, sumsText(manifest.files));
  await store.put(`checkpoints/${id}/manifest.json`, manifestText(manifest));
  await moveHead(store, tenure(1), id);
  return id;
}

const here = async () => (await listStored(store)).map(({ manifest }) => manifest?.step);

test("the store keeps what the rules say, and the lineage goes on beyond what was removed", async () => {
  for (const [step, loss] of [
    [100, 0.1],
    [200, 3],
    [300, 2],
    [400, 1],
    [500, 1],
  ] as const)
    await put(step, loss);
  const pruner = createPruner(store, { keepRemote: 2, keepEvery: 300, keepBest: 1 });
  expect(await pruner.prune(await readLineage(store))).toEqual(["step-00000200.e00001"]);
  expect(await here()).toEqual([100, 300, 400, 500]);
  expect(await readLineage(store)).toHaveLength(4);
  expect(await listUnfinished(store)).toEqual([]);
});

test("without rules nothing is read or removed", async () => {
  await put(100, 1);
  const pruner = createPruner(store.view({ before: () => Promise.reject(new Error("asked")) }), KEEP_ALL);
  expect(await pruner.prune(["step-00000100.e00001"])).toEqual([]);
});

test("manifests are read once", async () => {
  for (const step of [100, 200, 300]) await put(step, step);
  let reads = 0;
  const counting = store.view({ before: ({ op }) => void (op === "get" && reads++) });
  const pruner = createPruner(counting, { keepRemote: 2, keepEvery: null, keepBest: 1 });
  await pruner.prune(["step-00000200.e00001", "step-00000100.e00001"]);
  await pruner.prune(["step-00000300.e00001", "step-00000200.e00001", "step-00000100.e00001"]);
  expect(reads).toBe(3);
});

test("a removal that was killed leaves no checkpoint, and is finished by doing it again", async () => {
  const id = await put(100, 1);
  store.failNext({ op: "delete", key: `checkpoints/${id}/SHA256SUMS` });
  await expect(removeStored(store, id)).rejects.toThrow();
  expect(await readLineage(store)).toEqual([]);
  expect(await listUnfinished(store)).toEqual([id]);
  await removeStored(store, id);
  expect(await store.list("checkpoints/")).toEqual([]);
});

test("the list says what can be loaded and what not, without reading the data", async () => {
  const first = await put(100, 1);
  const second = await put(200, 1);
  await store.put("checkpoints/step-00000300.e00001/a", "A");
  await store.put(`checkpoints/${first}/a`, "");
  expect(await listStored(store)).toMatchObject([
    { id: first, problem: "a has 0 bytes instead of 1", isInLineage: true, isHead: false },
    { id: second, problem: undefined, isInLineage: true, isHead: true },
    { id: "step-00000300.e00001", problem: "unfinished: it has no manifest", isInLineage: false },
  ]);
  await store.delete([`checkpoints/${second}/SHA256SUMS`]);
  await store.put(`checkpoints/${first}/manifest.json`, "{");
  expect((await listStored(store)).map(({ problem }) => problem)).toEqual([
    expect.stringContaining("it is not JSON"),
    "SHA256SUMS is missing",
    "unfinished: it has no manifest",
  ]);
});
