import { describe, expect, test } from "vitest";
import { type RetryPolicy, retry } from "../../../common/retry.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";

const policy: RetryPolicy = { totalMs: 10_000, firstMs: 100, factor: 2, maxMs: 1000 };

/** Fails so often, then answers; says when it was called, in ms. */
async function run(
  failures: number,
  options: { random?: number; signal?: AbortSignal; policy?: Partial<RetryPolicy> } = {},
) {
  const clock = fakeClock();
  const calls: number[] = [];
  const outcome = await retry(
    async () => {
      calls.push(clock.passed());
      if (calls.length <= failures) throw new Error(`fault ${calls.length}`);
      return "answer";
    },
    (_error, planned) => planned,
    { ...policy, ...options.policy },
    { clock, random: () => options.random ?? 0, signal: options.signal },
  ).catch((error: Error) => error.message);
  return { calls, outcome };
}

test("an act that succeeds is called once", async () => {
  expect(await run(0)).toEqual({ calls: [0], outcome: "answer" });
});

test("waits grow by the factor up to the longest", async () => {
  expect((await run(6)).calls).toEqual([0, 100, 300, 700, 1500, 2500, 3500]);
});

test("waits are a quarter longer at most, so that parallel callers spread out", async () => {
  expect((await run(3, { random: 1 })).calls).toEqual([0, 125, 375, 875]);
});

test("gives up with the last fault before the time is over", async () => {
  const { calls, outcome } = await run(1000);
  expect(outcome).toBe(`fault ${calls.length}`);
  expect(calls.at(-1)).toBeLessThanOrEqual(10_000);
  expect(calls.at(-1)).toBeGreaterThan(9000 - 1000);
});

test("with no time at all it is called once", async () => {
  expect(await run(1000, { policy: { totalMs: 0 } })).toEqual({ calls: [0], outcome: "fault 1" });
});

describe("the caller's table", () => {
  test("says which faults are not worth a second try", async () => {
    const clock = fakeClock();
    let calls = 0;
    const act = async () => {
      calls++;
      throw new Error("final");
    };
    await expect(retry(act, () => undefined, policy, { clock, random: () => 0 })).rejects.toThrow("final");
    expect(calls).toBe(1);
  });

  test("may name another wait than the planned one", async () => {
    const clock = fakeClock();
    let calls = 0;
    await retry(
      async () => {
        if (calls++ === 0) throw new Error("busy");
      },
      () => 4500,
      policy,
      { clock, random: () => 0 },
    );
    expect(clock.passed()).toBe(4500);
  });
});

test("a cancel ends the wait at once, with its reason", async () => {
  const abort = new AbortController();
  abort.abort(new Error("cancelled"));
  expect(await run(5, { signal: abort.signal })).toEqual({ calls: [0], outcome: "cancelled" });
});
