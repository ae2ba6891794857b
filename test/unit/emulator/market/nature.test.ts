import fc from "fast-check";
import { expect, test } from "vitest";
import { generateCatalogue } from "../../../../emulator/market/catalogue.ts";
import { createCalmNature, createNature, STEP_SECONDS } from "../../../../emulator/market/nature.ts";

const DAY = 86_400;
const seconds = fc.double({ min: 0, max: 30 * DAY, noNaN: true });
const catalogue = generateCatalogue(1);
const slot = fc.constantFrom(...catalogue.slots);

test("says the same about a moment whenever and in whatever order it is asked", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 40 }),
      slot,
      fc.array(seconds, { maxLength: 10 }),
      seconds,
      (seed, one, others, t) => {
        const asked = createNature(seed);
        for (const other of others) asked.rivalBid(one, other);
        const fresh = createNature(seed);
        expect(asked.rivalBid(one, t)).toBe(fresh.rivalBid(one, t));
        expect(asked.price(one, t)).toBe(fresh.price(one, t));
        expect(asked.renterUntil(one, t)).toBe(fresh.renterUntil(one, t));
        expect(asked.failure(one.machine, t)).toEqual(fresh.failure(one.machine, t));
      },
    ),
  );
});

test("keeps rival bids between nothing and the price on demand", () => {
  const nature = createNature(3);
  fc.assert(
    fc.property(slot, seconds, (one, t) => {
      expect(nature.rivalBid(one, t)).toBeGreaterThan(0);
      expect(nature.rivalBid(one, t)).toBeLessThan(one.basePrice);
    }),
  );
});

test("moves bids in small steps, and far over a day", () => {
  const nature = createNature(3);
  const [one] = catalogue.slots;
  if (!one) throw new Error("no slot");
  const walk = Array.from({ length: DAY / STEP_SECONDS }, (_, i) => nature.rivalBid(one, i * STEP_SECONDS));
  const largest = Math.max(...walk.slice(1).map((bid, i) => Math.abs(bid - (walk[i] ?? 0))));
  expect(largest).toBeLessThan(one.basePrice * 0.03);
  expect(Math.max(...walk) / Math.min(...walk)).toBeGreaterThan(1.15);
});

test("never lowers the count of relists, and raises it when a stranger leaves", () => {
  const nature = createNature(1);
  let stays = 0;
  for (const one of catalogue.slots.slice(0, 20)) {
    let before = { relists: nature.relists(one, 0), isTaken: nature.renterUntil(one, 0) !== undefined };
    for (let t = 600; t < 10 * DAY; t += 600) {
      const now = { relists: nature.relists(one, t), isTaken: nature.renterUntil(one, t) !== undefined };
      expect(now.relists).toBeGreaterThanOrEqual(before.relists);
      if (before.isTaken && !now.isTaken) {
        stays += 1;
        expect(now.relists).toBeGreaterThan(before.relists);
      }
      before = now;
    }
  }
  expect(stays).toBeGreaterThan(5);
});

test("lets hosts with a low reliability fail more", () => {
  const nature = createNature(1);
  const offlineShare = (isGood: boolean) => {
    const machines = catalogue.machines.filter((machine) => machine.reliability > 0.97 === isGood);
    const looks = machines.flatMap((machine) =>
      Array.from({ length: 500 }, (_, i) => nature.failure(machine, i * 1800)),
    );
    return looks.filter(Boolean).length / looks.length;
  };
  expect(offlineShare(false)).toBeGreaterThan(offlineShare(true) * 3);
  expect(offlineShare(true)).toBeLessThan(0.01);
});

test("does nothing in the first minutes", () => {
  const nature = createNature(5);
  for (const one of catalogue.slots) {
    for (const t of [0, 300, 890]) {
      expect(nature.renterUntil(one, t)).toBeUndefined();
      expect(nature.failure(one.machine, t)).toBeUndefined();
    }
  }
});

test("stands still when calm", () => {
  const nature = createCalmNature(5);
  for (const one of catalogue.slots) {
    expect(nature.rivalBid(one, 20 * DAY)).toBe(createNature(5).rivalBid(one, 0));
    expect(nature.price(one, 20 * DAY)).toBe(nature.price(one, 0));
    expect(nature.renterUntil(one, 5 * DAY)).toBeUndefined();
  }
});
