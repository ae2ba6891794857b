import { expect, test } from "vitest";
import { constant, warmupCosine } from "../../../../runtime/trainer/schedule.ts";

test("rises to its peak over the warm-up, falls as a cosine, and stays at its floor", () => {
  const rate = warmupCosine({ peak: 1, warmupSteps: 4, totalSteps: 104, floor: 0.1 });
  expect([0, 1, 2, 3].map(rate)).toEqual([0.2, 0.4, 0.6, 0.8]);
  expect(rate(4)).toBe(1);
  expect(rate(54)).toBeCloseTo(0.55, 12);
  expect(rate(104)).toBeCloseTo(0.1, 12);
  expect(rate(1000)).toBeCloseTo(0.1, 12);
});

test("without a warm-up it begins at its peak, and its floor is a tenth of it", () => {
  const rate = warmupCosine({ peak: 2, totalSteps: 10 });
  expect(rate(0)).toBe(2);
  expect(rate(10)).toBeCloseTo(0.2, 12);
  expect(constant(0.3)(12)).toBe(0.3);
});
