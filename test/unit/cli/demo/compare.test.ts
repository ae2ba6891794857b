import { expect, test } from "vitest";
import { compareStates, PARTS } from "../../../../cli/demo/compare.ts";

const HASHES = { params: "a".repeat(64), optimizer: "b".repeat(64), rng: "c".repeat(64) };

test("two runs are the same when every part of their state is", () => {
  const { bitExact, lines } = compareStates(HASHES, { ...HASHES });
  expect(bitExact).toBe(true);
  expect(lines[0]).toBe("params    aaaaaaaaaaaaaaaa… = aaaaaaaaaaaaaaaa…");
});

test.each(PARTS)("one other bit in %s makes them different", (part) => {
  const { bitExact, lines } = compareStates(HASHES, { ...HASHES, [part]: "d".repeat(64) });
  expect(bitExact).toBe(false);
  expect(lines.filter((line) => line.includes("is not"))).toHaveLength(1);
});

test.each(PARTS)("a part that is missing on both sides proves nothing: %s", (part) => {
  expect(compareStates({ ...HASHES, [part]: "" }, { ...HASHES, [part]: "" }).bitExact).toBe(false);
});
