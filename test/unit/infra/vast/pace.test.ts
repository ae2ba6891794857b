import { beforeEach, expect, test } from "vitest";
import { createPace, DOCUMENTED_INTERVALS_S } from "../../../../infra/vast/pace.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";

let clock: FakeClock;
beforeEach(() => {
  clock = fakeClock();
});

/** The moments at which calls asked for at once may start, in ms. */
async function startsOf(pace: ReturnType<typeof createPace>, endpoints: string[]): Promise<number[]> {
  return Promise.all(
    endpoints.map(async (endpoint) => {
      await pace.take(endpoint);
      return clock.passed();
    }),
  );
}

test("calls of one endpoint are so far apart, in the order of asking", async () => {
  const pace = createPace(clock, { create: 4.5 });
  expect(await startsOf(pace, ["create", "create", "create"])).toEqual([0, 4500, 9000]);
});

test("other endpoints do not wait, and neither does one without an interval", async () => {
  const pace = createPace(clock, { create: 4.5 });
  expect(await startsOf(pace, ["create", "create", "list", "list"])).toEqual([0, 4500, 0, 0]);
});

test("a call after a long quiet time starts at once", async () => {
  const pace = createPace(clock, { list: 1 });
  await pace.take("list");
  await clock.sleep(5000);
  await pace.take("list");
  expect(clock.passed()).toBe(5000);
});

test("an interval that a 429 names holds from then on", async () => {
  const pace = createPace(clock, {});
  await pace.take("create");
  pace.learn("create", 4.5);
  expect(await startsOf(pace, ["create", "create"])).toEqual([4550, 9100]);
});

test("a long wait is for once: later calls are ten seconds apart at most", async () => {
  const pace = createPace(clock, { list: 1 });
  pace.learn("list", 45);
  expect(await startsOf(pace, ["list", "list"])).toEqual([45_050, 55_050]);
});

test("nobody waits longer than a minute, whatever a 429 says", async () => {
  const pace = createPace(clock, {});
  pace.learn("list", 3600);
  expect(await startsOf(pace, ["list"])).toEqual([60_050]);
});

test("a shorter interval than the known one changes nothing", async () => {
  const pace = createPace(clock, { create: 4.5 });
  pace.learn("create", 1);
  expect(await startsOf(pace, ["create", "create"])).toEqual([1050, 5550]);
});

test("a wait that is cancelled ends at once", async () => {
  const pace = createPace(clock, { create: 4.5 });
  const abort = new AbortController();
  await pace.take("create");
  const waiting = pace.take("create", abort.signal);
  abort.abort(new Error("cancelled"));
  await expect(waiting).rejects.toThrow("cancelled");
  expect(clock.passed()).toBe(0);
});

test("the documented intervals cover every call that costs money", () => {
  expect(DOCUMENTED_INTERVALS_S).toMatchObject({ create: 4.5, bid: 5.5, destroy: 3, list: 1, manage: 1 });
});
