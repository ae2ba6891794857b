import { expect, test } from "vitest";
import { afterCrash } from "../../../../runtime/agent/backoff.ts";

test("waits 1, 2, 4 ... and at most 60 s", () => {
  const delays = [0, 1, 2, 3, 4, 5, 6, 7, 50].map((before) => afterCrash(before, false, 1000).delayMs / 1000);
  expect(delays).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test("gives up at the limit, and counts from the beginning after progress", () => {
  expect(afterCrash(1, false, 3)).toMatchObject({ crashes: 2, giveUp: false });
  expect(afterCrash(2, false, 3)).toMatchObject({ crashes: 3, giveUp: true });
  expect(afterCrash(2, true, 3)).toEqual({ crashes: 1, giveUp: false, delayMs: 1000 });
});

test("a limit of 0 or 1 means no second try", () => {
  expect(afterCrash(0, false, 0).giveUp).toBe(true);
  expect(afterCrash(0, true, 1).giveUp).toBe(true);
});
