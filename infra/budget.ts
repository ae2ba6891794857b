/** How long a machine may live: the limits of `vastlane:budget` as hours, given what it costs. */

/** Hours from a machine's first start until its time, or its money, is used up; two decimals. */
export function hoursWithin(budget: { maxHours: number; maxUsd: number }, pricePerHour: number): number {
  const affordable = pricePerHour > 0 ? budget.maxUsd / pricePerHour : Number.POSITIVE_INFINITY;
  // Rounded, so that the last digit of a price is no other limit.
  return Math.round(Math.min(budget.maxHours, affordable) * 100) / 100;
}
