import { describe, expect, test } from "vitest";
import { changeRunRecord, readRunRecord } from "../../../../runtime/lease/index.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { tenure } from "../../../helpers/lease.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

function place() {
  const clock = fakeClock();
  const store = memoryStore({ clock });
  return { store, clock, runId: "dev/train" };
}

test("there is none at first", async () => {
  expect(await readRunRecord(place().store)).toBeUndefined();
});

test("begins one, and changes only what it is asked to", async () => {
  const here = place();
  await changeRunRecord(here, tenure(1), (record) => {
    expect(record).toBeUndefined();
    return { codeHash: "c", paramsHash: "p", params: { lr: 1 } };
  });
  await here.clock.sleep(1_000);
  const changed = await changeRunRecord(here, tenure(2), (record) => ({ spentUsd: (record?.spentUsd ?? 0) + 0.25 }));
  expect(changed).toMatchObject({
    format: 1,
    runId: "dev/train",
    status: "running",
    generation: 0,
    epoch: 2,
    codeHash: "c",
    params: { lr: 1 },
    spentUsd: 0.25,
    startedAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:01.000Z",
  });
  expect(await readRunRecord(here.store)).toEqual(changed);
});

test("an epoch that is over can close nothing", async () => {
  const here = place();
  await changeRunRecord(here, tenure(2), () => ({}));
  await expect(changeRunRecord(here, tenure(1), () => ({ status: "done" }))).rejects.toThrow("VL_LEASE_LOST");
  expect(here.store.json("run.json")).toMatchObject({ status: "running", epoch: 2 });
});

test("nor one that has read the record before the next epoch wrote it", async () => {
  const here = place();
  await changeRunRecord(here, tenure(1), () => ({}));
  let isFirst = true;
  const late = here.store.view({
    async before({ op }) {
      if (op === "put" && isFirst) {
        isFirst = false;
        await changeRunRecord(here, tenure(2), () => ({}));
      }
    },
  });
  const close = changeRunRecord({ ...here, store: late }, tenure(1), () => ({ status: "done" }));
  await expect(close).rejects.toThrow("VL_LEASE_LOST");
});

test("nobody writes without the lease", async () => {
  const here = place();
  const lost = new Error("lost");
  const change = changeRunRecord(
    here,
    tenure(1, "a", () => Promise.reject(lost)),
    () => ({}),
  );
  await expect(change).rejects.toBe(lost);
  expect(here.store.writes).toEqual([]);
});

describe("with others at work", () => {
  test("is asked again when --fresh was faster", async () => {
    const here = place();
    const first = await changeRunRecord(here, tenure(1), () => ({}));
    const statuses: (string | undefined)[] = [];
    await changeRunRecord(here, tenure(1), (record) => {
      statuses.push(record?.status);
      const fresh = JSON.stringify({ ...first, status: "fresh", writeId: "cli" });
      if (statuses.length === 1) void here.store.put("run.json", fresh);
      return { spentUsd: 1 };
    });
    expect(statuses).toEqual(["running", "fresh"]);
    expect(here.store.json("run.json")).toMatchObject({ status: "fresh", spentUsd: 1 });
  });

  test("the wish to start anew stays until somebody does", async () => {
    const here = place();
    const first = await changeRunRecord(here, tenure(1), () => ({}));
    await here.store.put("run.json", JSON.stringify({ ...first, status: "fresh" }));
    await changeRunRecord(here, tenure(1), () => ({ status: "done", spentUsd: 2 }));
    expect(here.store.json("run.json")).toMatchObject({ status: "fresh", spentUsd: 2 });
    await changeRunRecord(here, tenure(2), (record) => ({
      status: "running",
      generation: (record?.generation ?? 0) + 1,
    }));
    expect(here.store.json("run.json")).toMatchObject({ status: "running", generation: 1 });
  });

  test("a lost reply adds nothing twice", async () => {
    const here = place();
    await changeRunRecord(here, tenure(1), () => ({}));
    here.store.failNext({ op: "put", key: "run.json", when: "after" });
    await changeRunRecord(here, tenure(1), (record) => ({ spentUsd: (record?.spentUsd ?? 0) + 1 }));
    expect(here.store.json("run.json")).toMatchObject({ spentUsd: 1 });
  });

  test("a store that is down is told", async () => {
    const here = place();
    here.store.failNext({ op: "put", key: "run.json" });
    await expect(changeRunRecord(here, tenure(1), () => ({}))).rejects.toThrow("VL_STORE_DOWN");
  });
});

test.each([
  ["newer", JSON.stringify({ format: 2 }), "run.json was written by a newer vastlane."],
  ["damaged", "{ half", "The run's record (run.json in the store) is damaged."],
])("a %s record is not overwritten", async (_, text, message) => {
  const here = place();
  await here.store.put("run.json", text);
  await expect(changeRunRecord(here, tenure(1), () => ({}))).rejects.toThrow(message);
  expect(here.store.objects.get("run.json")?.body.toString()).toBe(text);
});
