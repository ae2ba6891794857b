import { describe, expect, test } from "vitest";
import { fenceHead, MAX_ANCESTORS, moveHead, readHead } from "../../../../runtime/lease/head.ts";
import { tenure } from "../../../helpers/lease.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

const none = async () => ({ checkpoint: null, ancestors: [] });
const keep = async ({ head }: Awaited<ReturnType<typeof readHead>>) => ({
  checkpoint: head?.checkpoint ?? null,
  ancestors: head?.ancestors ?? [],
});

async function fenced(epoch = 1) {
  const store = memoryStore();
  await fenceHead(store, tenure(epoch), none);
  return store;
}

describe("moving the head", () => {
  test("puts the checkpoint in front of those before it", async () => {
    const store = await fenced();
    for (const id of ["one", "two", "three"]) await moveHead(store, tenure(1), id);
    expect((await readHead(store)).head).toEqual({
      epoch: 1,
      holder: "agent-1",
      checkpoint: "three",
      ancestors: ["two", "one"],
    });
  });

  test("done already is done, also when newer ones followed", async () => {
    const store = await fenced();
    await moveHead(store, tenure(1), "one");
    await moveHead(store, tenure(1), "two");
    const writes = store.writes.length;
    await moveHead(store, tenure(1), "two");
    await moveHead(store, tenure(1), "one");
    expect(store.writes).toHaveLength(writes);
    expect(store.json("latest.json")).toMatchObject({ checkpoint: "two" });
  });

  test("knows its own write when the reply to it was lost", async () => {
    const store = await fenced();
    store.failNext({ op: "put", key: "latest.json", when: "after" });
    await moveHead(store, tenure(1), "one");
    expect(store.json("latest.json")).toMatchObject({ checkpoint: "one", ancestors: [] });
  });

  test("does not know whether it happened while the store is down, and says so", async () => {
    const store = await fenced();
    store.failNext({ op: "put", key: "latest.json", when: "before" });
    await expect(moveHead(store, tenure(1), "one")).rejects.toThrow("VL_STORE_DOWN");
    await moveHead(store, tenure(1), "one");
    expect(store.json("latest.json")).toMatchObject({ checkpoint: "one" });
  });

  test("keeps a bounded number of ancestors", async () => {
    const store = await fenced();
    for (let i = 0; i <= MAX_ANCESTORS + 3; i += 1) await moveHead(store, tenure(1), `id-${i}`);
    const { head } = await readHead(store);
    expect(head?.ancestors).toHaveLength(MAX_ANCESTORS);
    expect(head?.ancestors[0]).toBe(`id-${MAX_ANCESTORS + 2}`);
  });

  test("asks for the lease first", async () => {
    const store = await fenced();
    const lost = new Error("lost");
    await expect(
      moveHead(
        store,
        tenure(1, "agent-1", () => Promise.reject(lost)),
        "one",
      ),
    ).rejects.toBe(lost);
    expect(store.json("latest.json")).toMatchObject({ checkpoint: null });
  });

  test("fails for an epoch that is over, and for another holder of the same number", async () => {
    const store = await fenced(2);
    for (const old of [tenure(1), tenure(2, "somebody else")]) {
      await expect(moveHead(store, old, "one")).rejects.toThrow("VL_LEASE_LOST");
    }
    expect(store.json("latest.json")).toMatchObject({ epoch: 2, checkpoint: null });
  });

  test("fails for an old epoch that has read the head before the fence and writes after it", async () => {
    const store = await fenced(1);
    let hasFenced = false;
    const late = store.view({
      async before({ op }) {
        if (op !== "put" || hasFenced) return;
        hasFenced = true;
        await fenceHead(store, tenure(2), keep);
      },
    });
    await expect(moveHead(late, tenure(1), "one")).rejects.toThrow("VL_LEASE_LOST");
    expect(store.json("latest.json")).toMatchObject({ epoch: 2, checkpoint: null });
  });

  test.each([
    ["removed", undefined],
    ["damaged", "{ half"],
    ["put back from an older epoch", JSON.stringify({ format: 1, epoch: 1, holder: "old", checkpoint: "stale" })],
  ])("one that was %s by hand is set again by who holds the lease now, and is sure of it", async (_, text) => {
    const store = await fenced(2);
    await store.delete(["latest.json"]);
    if (text !== undefined) await store.put("latest.json", text);
    const ages: (number | undefined)[] = [];
    await moveHead(
      store,
      tenure(2, "agent-2", async (age) => void ages.push(age)),
      "two",
    );
    expect(ages).toEqual([undefined, 0]);
    expect(store.json("latest.json")).toMatchObject({ epoch: 2, holder: "agent-2", checkpoint: "two", ancestors: [] });
  });

  test("leaves one of a newer vastlane alone", async () => {
    const store = await fenced();
    await store.put("latest.json", JSON.stringify({ format: 2 }));
    await expect(moveHead(store, tenure(1), "one")).rejects.toThrow(
      "VL_CHECKPOINT_BAD: latest.json was written by a newer vastlane.",
    );
    expect(store.json("latest.json")).toEqual({ format: 2 });
  });
});

describe("fencing", () => {
  test("keeps what an older writer moves meanwhile", async () => {
    const store = await fenced(1);
    let moves = 0;
    const late = store.view({
      async before({ op }) {
        if (op === "put" && moves < 3) await moveHead(store, tenure(1), `step-${++moves}`);
      },
    });
    expect(await fenceHead(late, tenure(2), keep)).toMatchObject({ epoch: 2, checkpoint: "step-3" });
    expect(store.json("latest.json")).toMatchObject({
      epoch: 2,
      checkpoint: "step-3",
      ancestors: ["step-2", "step-1"],
    });
  });

  test("done already is done", async () => {
    const store = await fenced(1);
    store.failNext({ op: "put", key: "latest.json", when: "after" });
    await fenceHead(store, tenure(2), keep);
    const writes = store.writes.length;
    await fenceHead(store, tenure(2), none);
    expect(store.writes).toHaveLength(writes);
  });

  test("fails when a newer epoch was faster", async () => {
    const store = await fenced(3);
    await expect(fenceHead(store, tenure(2), keep)).rejects.toThrow("VL_LEASE_LOST");
    expect(store.json("latest.json")).toMatchObject({ epoch: 3 });
  });
});

test.each([
  ["nothing", undefined],
  ["no JSON", "}"],
  ["no epoch", JSON.stringify({ format: 1, checkpoint: null })],
  ["no checkpoint", JSON.stringify({ format: 1, epoch: 1 })],
])("reads %s as no head", async (_, text) => {
  const store = memoryStore();
  if (text !== undefined) await store.put("latest.json", text);
  expect((await readHead(store)).head).toBeUndefined();
});

test("reads one without holder and ancestors", async () => {
  const store = memoryStore();
  await store.put("latest.json", JSON.stringify({ format: 1, epoch: 4, checkpoint: "a" }));
  expect((await readHead(store)).head).toEqual({ epoch: 4, holder: "", checkpoint: "a", ancestors: [] });
});
