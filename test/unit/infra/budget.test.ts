import { expect, test } from "vitest";
import { hoursWithin } from "../../../infra/budget.ts";

test.each([
  [{ maxHours: 24, maxUsd: 10 }, 0.25, 24],
  [{ maxHours: 24, maxUsd: 10 }, 0.5, 20],
  [{ maxHours: 24, maxUsd: 10 }, 3, 3.33],
  [{ maxHours: 24, maxUsd: 10 }, 0, 24],
])("of %o at %d USD per hour, a machine may live %d hours", (budget, price, hours) => {
  expect(hoursWithin(budget, price)).toBe(hours);
});
