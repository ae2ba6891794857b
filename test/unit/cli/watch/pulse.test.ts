import { expect, test } from "vitest";
import { type LeaseSign, pulseOf } from "../../../../cli/watch/pulse.ts";

const lease = (more: Partial<LeaseSign> = {}): LeaseSign => ({
  ageSeconds: 3,
  isReleased: false,
  contractId: 7,
  step: 100,
  state: "running",
  ...more,
});

test.each([
  ["is alive while it renews its lease", lease(), 7, "alive"],
  ["is silent when two renewals have not come", lease({ ageSeconds: 12 }), 7, "silent"],
  ["is alive when one renewal is late", lease({ ageSeconds: 9 }), 7, "alive"],
  ["has left when it gave its lease back, however long ago", lease({ isReleased: true, ageSeconds: 9999 }), 7, "left"],
  ["is unknown where no lease was ever written", undefined, 7, "none"],
  ["is unknown where the lease is that of another machine", lease({ contractId: 6 }), 7, "none"],
  ["is that of the last machine when the market has none any more", lease({ ageSeconds: 12 }), undefined, "silent"],
  ["counts without a contract as well", lease({ contractId: null }), 7, "alive"],
] as const)("an agent %s", (_, sign, contractId, pulse) => {
  expect(pulseOf(sign, contractId)).toBe(pulse);
});
