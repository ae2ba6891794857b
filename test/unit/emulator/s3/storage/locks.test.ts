import { expect, test } from "vitest";
import { createLocks } from "../../../../../emulator/s3/storage/locks.ts";

test("one at a time for each name, in order, whatever fails", async () => {
  const locks = createLocks();
  const seen: string[] = [];
  const work =
    (name: string, fails = false) =>
    async () => {
      seen.push(`${name} begins`);
      await Promise.resolve();
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const results = await Promise.allSettled([
    locks.run("a", work("a1", true)),
    locks.run("a", work("a2")),
    locks.run("b", work("b1")),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(seen.filter((line) => line.startsWith("a"))).toEqual(["a1 begins", "a1 ends", "a2 begins", "a2 ends"]);
  expect(seen.indexOf("b1 begins")).toBeLessThan(seen.indexOf("a1 ends") + 1);
});
