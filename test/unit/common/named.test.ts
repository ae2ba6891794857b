import { expect, test } from "vitest";
import { named } from "../../../common/named.ts";

test("names are all there while they are few, and the rest is a number when they are many", () => {
  expect(named([], 2)).toBe("");
  expect(named(["a", "b"], 2)).toBe("a, b");
  expect(named(["a", "b", "c", "d"], 2)).toBe("a, b and 2 more");
});
