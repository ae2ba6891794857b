import fc from "fast-check";
import { expect, test } from "vitest";
import {
  checkpointFolder,
  compareCheckpointIds,
  formatCheckpointId,
  parseCheckpointId,
} from "../../../common/checkpoint-id.ts";

test.each([
  [{ step: 200, epoch: 3 }, "step-00000200.e00003"],
  [{ step: 0, epoch: 0 }, "step-00000000.e00000"],
  [{ step: 123_456_789, epoch: 100_000 }, "step-123456789.e100000"],
  [{ step: 200, epoch: 3, take: 2 }, "step-00000200.e00003.2"],
])("%j is called %s", (parts, id) => {
  expect(formatCheckpointId(parts)).toBe(id);
  expect(parseCheckpointId(id)).toEqual({ take: 1, ...parts });
});

test("a local folder has the step in its name", () => {
  expect(checkpointFolder(200)).toBe("step-00000200");
});

test.each(["step-200.e00003", "step-00000200", "step-00000200.e3", "step-00000200.e00003.0", "../x", ""])(
  "%j is no name of a checkpoint",
  (text) => {
    expect(parseCheckpointId(text)).toBeUndefined();
  },
);

const anId = fc.record({
  step: fc.nat({ max: 1e12 }),
  epoch: fc.nat({ max: 1e7 }),
  take: fc.integer({ min: 1, max: 1e6 }),
});

test("every id comes back as it was made, and orders by epoch, then step, then take", () => {
  fc.assert(
    fc.property(anId, anId, (a, b) => {
      const [x, y] = [formatCheckpointId(a), formatCheckpointId(b)];
      expect(parseCheckpointId(x)).toEqual(a);
      const order = a.epoch - b.epoch || a.step - b.step || a.take - b.take;
      expect(Math.sign(compareCheckpointIds(x, y))).toBe(Math.sign(order));
    }),
  );
});

test("what is no name comes first", () => {
  expect(["step-00000001.e00000", "other"].sort(compareCheckpointIds)).toEqual(["other", "step-00000001.e00000"]);
  expect(compareCheckpointIds("a", "b")).toBe(0);
});
