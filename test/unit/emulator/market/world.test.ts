import { expect, test } from "vitest";
import { UserError } from "../../../../common/errors.ts";
import { usdOf } from "../../../../emulator/billing/billing.ts";
import {
  cheapest,
  handClock,
  memoryStore,
  openTestMarket,
  rentContract,
  type TestMarket,
} from "../../../helpers/market.ts";

const HOUR = 3600;

/** A market with a running contract, whose daemon then ends: cleanly or not. */
async function endedMarket(how: "stopped" | "killed") {
  const [store, clock] = [memoryStore(), handClock()];
  const market = await openTestMarket({ store, clock });
  const contract = await rentContract(market, cheapest(market));
  await market.pass(30.5 * 60);
  if (how === "stopped") {
    await market.emulation.quiesce();
    market.world.market.stopped = true;
    market.world.commit();
  }
  return {
    store,
    clock,
    contract,
    before: usdOf(contract.total),
    perHour: contract.gpuPricePerHour + (contract.storageCost * 10) / 720,
  };
}

const costOf = (market: TestMarket) => market.world.contracts.values().reduce((sum, one) => sum + usdOf(one.total), 0);

test("charges the minutes of an outage, in which machines ran on", async () => {
  const { store, clock, before, perHour } = await endedMarket("killed");
  clock.move(300);
  const again = await openTestMarket({ store, clock });
  await again.pass(0);
  expect(costOf(again) - before).toBeCloseTo((perHour * 300) / HOUR, 6);
});

test.each([
  ["a clean stop", "stopped", 5 * HOUR],
  ["a computer that was off", "killed", 5 * HOUR],
] as const)("charges nothing for the time after %s, and goes on from the present", async (_, how, away) => {
  const { store, clock, before, perHour } = await endedMarket(how);
  const time = clock.now() / 1000;
  clock.move(away);
  const again = await openTestMarket({ store, clock });
  expect(costOf(again)).toBeCloseTo(before, 9);
  expect(again.world.clock.now()).toBeCloseTo(time + away, 3);
  await again.pass(2 * HOUR);
  expect(costOf(again) - before).toBeCloseTo(perHour * 2, 4);
  for (const line of again.journal("charge"))
    expect((line.to as number) - (line.from as number)).toBeLessThanOrEqual(HOUR + 0.01);
});

test("keeps speed and seed of a market, and refuses another seed", async () => {
  const [store, clock] = [memoryStore(), handClock()];
  const first = await openTestMarket({ store, clock, seed: 7 });
  first.world.clock.setSpeed(60);
  first.world.market.speed = 60;
  first.world.commit();
  const again = await openTestMarket({ store, clock, seed: 7, speed: undefined });
  expect(again.world.clock.speed).toBe(60);
  const refused = openTestMarket({ store, clock, seed: 8 });
  await expect(refused).rejects.toThrow(UserError);
  await expect(openTestMarket({ store, clock, seed: 8 })).rejects.toThrow(
    "VL_USAGE: This emulator's market has the seed 7, not 8.",
  );
});
