import { expect, test } from "vitest";
import { createFaults } from "../../../../emulator/faults/faults.ts";
import { FAULT_KINDS, isFaultName } from "../../../../emulator/faults/kinds.ts";
import type { FaultRecord } from "../../../../emulator/state/records.ts";
import { memoryStore } from "../../../helpers/market.ts";

function setup() {
  let now = 1000;
  let id = 0;
  const faults = createFaults(
    memoryStore().table<FaultRecord>("fault"),
    () => now,
    () => ++id,
  );
  return { faults, pass: (seconds: number) => (now += seconds) };
}

test("spends a fault after one use unless it says how many", () => {
  const { faults } = setup();
  faults.add("offer-taken", { params: { status: 410 } });
  expect(faults.take("offer-taken")).toEqual({ status: 410 });
  expect(faults.take("offer-taken")).toBeUndefined();
  faults.add("rate-limit", { count: 2, params: {} });
  expect([1, 2, 3].map(() => faults.take("rate-limit") !== undefined)).toEqual([true, true, false]);
});

test("ends a fault with its time", () => {
  const { faults, pass } = setup();
  faults.add("market-down", { seconds: 10, params: {} });
  expect(faults.active("market-down")).toBeDefined();
  pass(9);
  expect(faults.active("market-down")).toBeDefined();
  pass(1);
  expect(faults.active("market-down")).toBeUndefined();
  expect(faults.list()).toEqual([]);
});

test("lets a fault that is used up once last for its time when it has one", () => {
  const { faults, pass } = setup();
  faults.add("server-error", { seconds: 5, params: {} });
  expect(faults.take("server-error")).toBeDefined();
  expect(faults.take("server-error")).toBeDefined();
  pass(6);
  expect(faults.take("server-error")).toBeUndefined();
});

test("spends only the fault that suits", () => {
  const { faults } = setup();
  faults.add("start-error", { params: { id: 5 } });
  expect(faults.take("start-error", ({ id }) => id === 6)).toBeUndefined();
  expect(faults.list().length).toBe(1);
  expect(faults.take("start-error", ({ id }) => id === 5)).toEqual({ id: 5 });
});

test("removes all faults, or those of one kind", () => {
  const { faults } = setup();
  faults.add("no-credit", { params: {} });
  faults.add("read-lag", { params: {} });
  faults.add("read-lag", { params: {} });
  expect(faults.clear("read-lag")).toBe(2);
  expect(faults.list().map((fault) => fault.kind)).toEqual(["no-credit"]);
  expect(faults.clear()).toBe(1);
});

test("knows its names", () => {
  expect(isFaultName("offer-taken")).toBe(true);
  for (const name of ["toString", "", null, "nonsense"]) expect(isFaultName(name)).toBe(false);
  for (const { meaning } of Object.values(FAULT_KINDS)) expect(meaning).toMatch(/\.$/);
});
