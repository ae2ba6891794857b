import { expect, test } from "vitest";
import { readLease } from "../../../../runtime/lease/index.ts";
import { holder } from "../../../helpers/lease.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

const record = { format: 1, runId: "r", epoch: 2, holder: holder("a"), writeId: "w", acquiredAt: "t", ttlSeconds: 15 };

function storeAt() {
  const time = { ms: 1_000_000_000_400 };
  return { time, store: memoryStore({ clock: { now: () => time.ms, sleep: async () => {} } }) };
}

test.each([
  [0, 0, false],
  [15_000, 15, false],
  [16_500, 16, false],
  [16_700, 17, true],
  [3_600_000, 3600, true],
])("after %i ms it is %i s old by the store's whole seconds", async (ms, ageSeconds, isExpired) => {
  const { time, store } = storeAt();
  await store.put("lease.json", JSON.stringify(record));
  time.ms += ms;
  expect(await readLease(store)).toMatchObject({ ageSeconds, isExpired });
});

test("a store whose clock was set back makes nothing older", async () => {
  const { time, store } = storeAt();
  await store.put("lease.json", JSON.stringify(record));
  time.ms -= 60_000;
  expect(await readLease(store)).toMatchObject({ ageSeconds: 0, isExpired: false });
});

test("its own time to live counts", async () => {
  const { time, store } = storeAt();
  await store.put("lease.json", JSON.stringify({ ...record, ttlSeconds: 60 }));
  time.ms += 30_000;
  expect(await readLease(store)).toMatchObject({ isExpired: false });
});

test.each([
  ["no epoch", { epoch: undefined }],
  ["half an epoch", { epoch: 0.5 }],
  ["no holder", { holder: null }],
  ["a holder without id", { holder: { pid: 1 } }],
])("%s: it is damaged", async (_, change) => {
  const { store } = storeAt();
  await store.put("lease.json", JSON.stringify({ ...record, ...change }));
  expect((await readLease(store))?.record).toBeUndefined();
});

test("what is missing is filled in, what is unknown is ignored", async () => {
  const { store } = storeAt();
  await store.put("lease.json", JSON.stringify({ format: 1, epoch: 1, holder: { id: "a" }, later: true }));
  expect((await readLease(store))?.record).toEqual({
    format: 1,
    runId: "",
    epoch: 1,
    holder: { id: "a", contractId: null, hostname: "an unnamed machine", pid: 0 },
    writeId: "",
    acquiredAt: "",
    ttlSeconds: 15,
    released: false,
    fencedEpoch: 0,
    parent: null,
    heartbeat: null,
  });
});
