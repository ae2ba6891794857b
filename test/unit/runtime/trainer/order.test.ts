import fc from "fast-check";
import { expect, test } from "vitest";
import { epochOrder } from "../../../../runtime/trainer/order.ts";

test("every epoch has each example once, whatever the batches, in an order of its own", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 17 }), fc.nat(), (count, size, seed) => {
      const order = epochOrder(count, seed);
      const seen: number[] = [];
      while (seen.length < 3 * count) seen.push(...order(seen.length, size));
      for (let epoch = 0; epoch < 3; epoch++) {
        const examples = seen.slice(epoch * count, (epoch + 1) * count);
        expect([...examples].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
      }
    }),
    { numRuns: 60 },
  );
  const order = epochOrder(50, 1);
  expect(order(0, 50)).not.toEqual(order(50, 50));
  expect(order(0, 50)).not.toEqual(epochOrder(50, 2)(0, 50));
});

test("a position says all: any part of the order can be had without what was before", () => {
  const whole = epochOrder(10, 5)(0, 100);
  for (const position of [0, 3, 9, 10, 37, 99]) {
    expect(epochOrder(10, 5)(position, 1)[0]).toBe(whole[position]);
  }
});
