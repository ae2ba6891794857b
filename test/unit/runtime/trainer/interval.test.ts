import fc from "fast-check";
import { expect, test } from "vitest";
import { autoInterval, intervalOf, isDue, meanSecondsBetween } from "../../../../runtime/trainer/interval.ts";

const NEW = { interruptions: 0, activeSeconds: 0 };

test("is the square root of twice cost times time between interruptions", () => {
  // Daly's own example of the form: C = 0.05 s, M = 6 h: sqrt(2 * 0.05 * 21600) = 46.5 s
  expect(autoInterval({ ...NEW, stallSeconds: 0.05, writeSeconds: 0.2 })).toBeCloseTo(46.476, 2);
});

test("the more often a run was interrupted, the more often it is saved", () => {
  const after = (interruptions: number) =>
    autoInterval({ stallSeconds: 0.05, writeSeconds: 0.2, interruptions, activeSeconds: 3600 });
  expect(after(0)).toBeGreaterThan(after(1));
  expect(after(1)).toBeGreaterThan(after(4));
  expect(meanSecondsBetween(0, 0)).toBe(21_600);
  expect(meanSecondsBetween(6, 3600)).toBe(3600);
});

test("never stalls more than half a percent of the time, nor begins a save before the last one can be done", () => {
  const seconds = (max: number) => fc.double({ min: 0, max, noNaN: true });
  fc.assert(
    fc.property(
      seconds(30),
      seconds(3000),
      fc.nat(1000),
      seconds(1e7),
      (stallSeconds, write, interruptions, active) => {
        const writeSeconds = stallSeconds + write;
        const interval = autoInterval({ stallSeconds, writeSeconds, interruptions, activeSeconds: active });
        expect(stallSeconds / interval).toBeLessThanOrEqual(0.005 + 1e-9);
        expect(interval).toBeGreaterThanOrEqual(Math.max(10, 2 * writeSeconds));
        expect(interval).toBeLessThanOrEqual(Math.max(600, 200 * stallSeconds, 2 * writeSeconds));
      },
    ),
  );
});

test("what code says holds before the stack's variables, and these before the defaults", () => {
  const env = {
    VASTLANE_CHECKPOINT_EVERY_STEPS: "50",
    VASTLANE_CHECKPOINT_EVERY_SECONDS: "2.5",
    VASTLANE_KEEP_LAST: "4",
  };
  expect(intervalOf({}, env)).toEqual({ everySteps: 50, everySeconds: 2.5, keepLast: 4 });
  expect(intervalOf({ everySteps: 7, keepLast: 1 }, env)).toEqual({ everySteps: 7, everySeconds: 2.5, keepLast: 1 });
  expect(intervalOf({}, { VASTLANE_CHECKPOINT_EVERY_SECONDS: "auto" }).everySeconds).toBe("auto");
  expect(intervalOf({}, {})).toEqual({ everySteps: Number.POSITIVE_INFINITY, everySeconds: "auto", keepLast: 3 });
});

test("a variable that is no number is named", () => {
  expect(() => intervalOf({}, { VASTLANE_CHECKPOINT_EVERY_STEPS: "often" })).toThrow(
    /VL_BAD_CONFIG: VASTLANE_CHECKPOINT_EVERY_STEPS is "often"/,
  );
});

test("a save is due at each multiple of its steps, even one that was passed over, and when its time has come", () => {
  const due = (step: number, seconds: number, last: { step: number; seconds: number }) =>
    isDue({ everySteps: 10 }, 60, { step, seconds }, last);
  const last = { step: 10, seconds: 100 };
  expect(due(19, 101, last)).toBe(false);
  expect(due(20, 101, last)).toBe(true);
  expect(due(23, 101, last)).toBe(true); // the save of step 10 was still on at step 20
  expect(due(12, 160, last)).toBe(true);
  expect(due(10, 999, last)).toBe(false); // nothing new to save
  expect(isDue({ everySteps: Number.POSITIVE_INFINITY }, 60, { step: 1e9, seconds: 0 }, { step: 0, seconds: 0 })).toBe(
    false,
  );
});
