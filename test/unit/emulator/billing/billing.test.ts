import fc from "fast-check";
import { expect, test } from "vitest";
import { billTraffic, diskPricePerHour, noCost, ratePerHour, usdOf } from "../../../../emulator/billing/billing.ts";
import { PHASES, type Phase } from "../../../../emulator/market/contracts.ts";
import type { ContractRecord } from "../../../../emulator/state/records.ts";

const contract = (phase: Phase, more: Partial<ContractRecord> = {}): ContractRecord =>
  ({
    phase,
    offline: null,
    gpuPricePerHour: 0.36,
    storageCost: 0.2,
    diskGB: 72,
    inetDownCost: 0.002,
    inetUpCost: 0.01,
    counted: { received: 0, sent: 0 },
    open: noCost(),
    total: noCost(),
    ...more,
  }) as ContractRecord;

test("counts a month as 30 days for disks", () => {
  // A published sample: 10 GB at 0.14933 US$/GB/month.
  expect(diskPricePerHour(0.14933, 10)).toBeCloseTo(0.0020741, 6);
});

test.each([
  ["running", 0.36, 0.02],
  ["stopping", 0.36, 0.02],
  ["rebooting", 0.36, 0.02],
  ["exited", 0.36, 0.02],
  ["requested", 0, 0.02],
  ["loading", 0, 0.02],
  ["stopped", 0, 0.02],
  ["outbid", 0, 0.02],
  ["refused", 0, 0.02],
  ["start-failed", 0, 0.02],
  ["scheduling", 0, 0.02],
  ["destroyed", 0, 0],
] as const)("charges %s with %d US$/h for GPUs and %d for the disk", (phase, gpu, disk) => {
  const rate = ratePerHour(contract(phase));
  expect(rate.gpu).toBe(gpu);
  expect(rate.disk).toBeCloseTo(disk, 12);
});

test("charges nothing in any phase while the host is offline", () => {
  for (const phase of Object.keys(PHASES) as Phase[]) {
    expect(ratePerHour(contract(phase, { offline: { crash: false } }))).toEqual({ gpu: 0, disk: 0 });
  }
});

test("charges traffic by the byte, both ways at their own price", () => {
  const one = contract("running");
  billTraffic(one, { receivedBytes: 3e9, sentBytes: 1e9 });
  billTraffic(one, { receivedBytes: 5e9, sentBytes: 1e9 });
  expect(one.total).toMatchObject({ downGB: 5, upGB: 1 });
  expect(usdOf(one.total)).toBeCloseTo(5 * 0.002 + 0.01, 12);
});

test("counts on when a machine's counters begin anew", () => {
  const one = contract("running");
  billTraffic(one, { receivedBytes: 3e9, sentBytes: 0 });
  billTraffic(one, { receivedBytes: 1e9, sentBytes: 0 });
  expect(one.total.downGB).toBe(4);
});

test("charges the sum of all increments, whatever the readings", () => {
  const readings = fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 20 });
  fc.assert(
    fc.property(readings, (increments) => {
      const one = contract("running");
      let counter = 0;
      for (const bytes of increments) {
        counter += bytes;
        billTraffic(one, { receivedBytes: counter, sentBytes: 0 });
      }
      expect(one.total.downGB).toBeCloseTo(counter / 1e9, 9);
      expect(usdOf(one.open)).toBe(usdOf(one.total));
    }),
  );
});
