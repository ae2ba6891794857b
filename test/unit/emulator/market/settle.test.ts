import fc from "fast-check";
import { expect, test } from "vitest";
import { creditOf, usdOf } from "../../../../emulator/billing/billing.ts";
import { playStep } from "../../../../emulator/market/settle.ts";
import { slotRecord } from "../../../../emulator/market/world.ts";
import { cheapest, openTestMarket, rentContract, type TestMarket } from "../../../helpers/market.ts";

const HOUR = 3600;
const DAY = 24 * HOUR;
const HISTORY = ["outbid", "preempt", "resume", "offline", "online", "expire", "no-credit"];

/** Lines without what differs between two markets by design: contract ids are random. */
function history(market: TestMarket): unknown[] {
  return market.journal(...HISTORY).map(({ kind, t, machineId }) => ({ kind, t, machineId }));
}

/** Bids a little over the floor on some machines, so that much happens. */
async function marketWithBids(seed: number): Promise<TestMarket> {
  const market = await openTestMarket({ seed, calm: false });
  market.account.deposited = 1e6;
  for (let i = 0; i < 6; i += 1) {
    const listing = cheapest(market, ({ slot }) => slot.machine.endsAfter > 5 * DAY && slot.gpuIds.length === 1);
    await rentContract(market, listing, { price: listing.minBid * 1.03 });
  }
  return market;
}

test("gives the same seed the same history", async () => {
  const [one, other] = [await marketWithBids(5), await marketWithBids(5)];
  await one.pass(2 * DAY);
  await other.pass(2 * DAY);
  expect(history(one).length).toBeGreaterThan(10);
  expect(history(one)).toEqual(history(other));
  const different = await marketWithBids(6);
  await different.pass(2 * DAY);
  expect(history(different)).not.toEqual(history(one));
});

test("plays a day the same in one leap as in many small looks", async () => {
  const leap = await marketWithBids(9);
  await leap.pass(DAY);
  const looks = await marketWithBids(9);
  for (let passed = 0; passed < DAY; passed += 997) await looks.pass(Math.min(997, DAY - passed));
  expect(history(looks)).toEqual(history(leap));
});

test("charges a contract on demand the same however often the market looks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: 0.01, max: 3 * HOUR, noNaN: true }), { minLength: 1, maxLength: 12 }),
      async (steps) => {
        const total = steps.reduce((sum, step) => sum + step, 0);
        const costs: number[] = [];
        for (const pieces of [steps, [total]]) {
          const market = await openTestMarket();
          const listing = cheapest(market);
          const contract = await rentContract(market, listing, { disk: 100 });
          for (const piece of pieces) await market.pass(piece);
          costs.push(usdOf(contract.total));
          const perHour = listing.price + (listing.slot.machine.storageCost * 100) / 720;
          // A clock in milliseconds adds steps up to within microseconds.
          expect(usdOf(contract.total)).toBeCloseTo((perHour * total) / HOUR, 8);
        }
        expect(costs[0]).toBeCloseTo(costs[1] ?? 0, 8);
      },
    ),
    { numRuns: 15 },
  );
});

test("charges only the disk while loading, stopped and outbid, and nothing while the host is offline", async () => {
  const market = await openTestMarket({ loadingSeconds: 60 });
  const listing = cheapest(market);
  const contract = await rentContract(market, listing, { price: listing.minBid * 1.01, disk: 72 });
  const diskPerHour = listing.slot.machine.storageCost * 0.1;
  expect(contract.phase).toBe("requested");
  await market.pass(60);
  expect(contract.phase).toBe("running");
  expect(contract.total.gpuUsd).toBe(0);
  expect(contract.total.diskUsd).toBeCloseTo(diskPerHour / 60, 9);

  await market.pass(HOUR);
  expect(contract.total.gpuUsd).toBeCloseTo(listing.minBid * 1.01, 6);
  market.world.hosts.save(contract.machineId, { machineId: contract.machineId, offlineUntil: null, crash: false });
  playStep(market.world, market.world.market.settledAt);
  const before = usdOf(contract.total);
  await market.pass(HOUR);
  expect(usdOf(contract.total)).toBe(before);

  market.world.hosts.remove(contract.machineId);
  market.world.slots.save(contract.slot, {
    ...slotRecord(market.world, contract.slot),
    rival: { price: 5, until: null },
  });
  playStep(market.world, market.world.market.settledAt);
  expect(contract.phase).toBe("outbid");
  const { gpuUsd, diskUsd } = contract.total;
  await market.pass(HOUR);
  expect(contract.total.gpuUsd).toBe(gpuUsd);
  expect(contract.total.diskUsd - diskUsd).toBeCloseTo(diskPerHour, 8);
});

test("stops everything at the moment when the credit is used up, and goes on charging disks", async () => {
  const market = await openTestMarket();
  market.account.deposited = 1;
  const contract = await rentContract(market, cheapest(market), { disk: 50 });
  await market.pass(30 * DAY);
  const [line] = market.journal("no-credit");
  const perHour = contract.gpuPricePerHour + (contract.storageCost * 50) / 720;
  expect(line?.t).toBeCloseTo(contract.createdAt + (1 / perHour) * HOUR, 1);
  expect(contract).toMatchObject({ phase: "stopped", stopCause: "credit" });
  expect(creditOf(market.world, market.account.id)).toBeLessThan(-0.05);
});

test("stops a contract at the end of the rental", async () => {
  const market = await openTestMarket();
  market.account.deposited = 1000;
  const contract = await rentContract(
    market,
    cheapest(market, ({ duration }) => duration < 2 * DAY),
  );
  await market.pass(3 * DAY);
  expect(contract).toMatchObject({ phase: "stopped", stopCause: "expired" });
  expect(market.journal("expire")[0]?.t).toBeCloseTo(contract.endDate, 2);
});

test("writes a charge for every hour, and their sum is the cost", async () => {
  const market = await openTestMarket();
  const contract = await rentContract(market, cheapest(market));
  await market.pass(10 * HOUR + 60);
  const charges = market.journal("charge");
  expect(charges.length).toBeGreaterThanOrEqual(10);
  const charged = charges.reduce((sum, line) => sum + (line.usd as number), 0) + usdOf(contract.open);
  expect(charged).toBeCloseTo(usdOf(contract.total), 6);
  for (const [index, line] of charges.entries()) if (index > 0) expect(line.from).toBe(charges[index - 1]?.to);
});

test("takes a machine down with its host, and boots it when the host is back", async () => {
  const market = await openTestMarket();
  const contract = await rentContract(market, cheapest(market));
  const setHost = async (isOffline: boolean) => {
    if (isOffline)
      market.world.hosts.save(contract.machineId, { machineId: contract.machineId, offlineUntil: null, crash: true });
    else market.world.hosts.remove(contract.machineId);
    playStep(market.world, market.world.market.settledAt);
    await market.follow();
  };
  await setHost(true);
  expect(market.machines.isRunning(contract.id)).toBe(false);
  await setHost(false);
  expect(contract.phase).toBe("running");
  expect(market.machines.isRunning(contract.id)).toBe(true);
  expect(market.journal("offline", "online").map((line) => line.kind)).toEqual(["offline", "online"]);
});

test("cuts the network of a machine whose host is unreachable, and leaves its processes alone", async () => {
  const market = await openTestMarket();
  const contract = await rentContract(market, cheapest(market));
  market.world.hosts.save(contract.machineId, {
    machineId: contract.machineId,
    offlineUntil: market.world.market.settledAt + 100,
    crash: false,
  });
  playStep(market.world, market.world.market.settledAt);
  await market.follow();
  expect(market.machines.isRunning(contract.id)).toBe(true);
  expect(market.machines.faults.get(contract.id)).toBe("ssh-refused");
  await market.pass(180);
  expect(market.machines.faults.get(contract.id)).toBe(null);
});
