import fc from "fast-check";
import { expect, test } from "vitest";
import { editDistance, nearest } from "../../../common/nearest.ts";

test.each([
  ["", "", 0],
  ["abc", "abc", 0],
  ["", "abc", 3],
  ["abc", "", 3],
  ["kitten", "sitting", 3],
  ["stauts", "status", 1],
  ["ab", "ba", 1],
  ["destory", "destroy", 1],
])("from %j to %j are %i edits", (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
});

test("distance is symmetric, zero only for the same word, and at most the longer one's length", () => {
  const word = fc.stringMatching(/^[a-d]{0,8}$/);
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      expect(editDistance(b, a)).toBe(distance);
      expect(distance === 0).toBe(a === b);
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
    }),
  );
});

test.each([
  ["stauts", ["status", "start"], "status"],
  ["DESTROY", ["destroy"], "destroy"],
  ["minVramGb", ["minVramGB", "minCuda"], "minVramGB"],
  ["maxPrice", ["maxPricePerHour", "bid"], undefined],
  ["zzz", ["status"], undefined],
  ["x", ["up"], undefined],
  ["u", ["up"], "up"],
  ["status", [], undefined],
])("%j among %j is %j", (word, candidates, found) => {
  expect(nearest(word, candidates)).toBe(found);
});

test("of two as close as each other the first is taken", () => {
  expect(nearest("cat", ["bat", "hat"])).toBe("bat");
});
