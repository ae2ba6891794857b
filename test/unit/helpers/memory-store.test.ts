import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConditionFailed } from "../../../runtime/store/types.ts";
import { memoryStore } from "../../helpers/memory-store.ts";

test("keeps conditions by the content's MD5, as S3 does", async () => {
  const store = memoryStore();
  const { etag } = await store.put("a", "one", { ifNoneMatch: "*" });
  expect(etag).toBe('"f97c5d29941bfb1b2fdab0874906ab82"');
  await expect(store.put("a", "two", { ifNoneMatch: "*" })).rejects.toBeInstanceOf(ConditionFailed);
  await store.put("a", "two", { ifMatch: etag });
  await expect(store.put("a", "three", { ifMatch: etag })).rejects.toBeInstanceOf(ConditionFailed);
  await expect(store.put("b", "one", { ifMatch: etag })).rejects.toBeInstanceOf(ConditionFailed);
  expect((await store.get("a"))?.body.toString()).toBe("two");
});

test("ignores conditions where it is told to", async () => {
  const store = memoryStore({ conditions: false });
  expect(await store.hasConditions()).toBe(false);
  await store.put("a", "one");
  await store.put("a", "two", { ifNoneMatch: "*" });
  expect((await store.get("a"))?.body.toString()).toBe("two");
});

test("tells times in whole seconds of its own clock", async () => {
  let nowMs = 1_999;
  const store = memoryStore({ clock: { now: () => nowMs, sleep: async () => {} } });
  await store.put("a", "");
  nowMs = 4_500;
  expect(await store.get("a")).toMatchObject({ lastModifiedMs: 1_000, storeNowMs: 4_000 });
});

test("a fault before the effect leaves nothing, one after it only loses the reply", async () => {
  const store = memoryStore();
  store.failNext({ op: "put", key: "a", times: 2 });
  store.failNext({ op: "put", key: "b", when: "after" });
  await expect(store.put("a", "")).rejects.toThrow("VL_STORE_DOWN");
  await expect(store.put("a", "")).rejects.toThrow("VL_STORE_DOWN");
  await expect(store.put("b", "")).rejects.toThrow("VL_STORE_DOWN");
  expect((await store.list("")).map(({ key }) => key)).toEqual(["b"]);
  await store.put("a", "");
});

test("a refusal can be lost like any other reply", async () => {
  const store = memoryStore();
  await store.put("a", "");
  store.failNext({ op: "put", when: "after" });
  await expect(store.put("a", "x", { ifNoneMatch: "*" })).rejects.toThrow("VL_STORE_DOWN");
});

test("lists below a prefix in the order of keys, deletes, and moves files", async () => {
  const store = memoryStore();
  const dir = mkdtempSync(join(tmpdir(), "vastlane-memory-"));
  try {
    writeFileSync(join(dir, "in"), "file");
    for (const key of ["b/2", "a", "b/1"]) await store.upload(key, join(dir, "in"));
    expect((await store.list("b/")).map(({ key, bytes }) => [key, bytes])).toEqual([
      ["b/1", 4],
      ["b/2", 4],
    ]);
    await store.download("b/1", join(dir, "out"), 4);
    expect(readFileSync(join(dir, "out"), "utf8")).toBe("file");
    await store.delete(["b/1", "none"]);
    expect(await store.get("b/1")).toBeUndefined();
  } finally {
    rmSync(dir, { recursive: true });
  }
});
