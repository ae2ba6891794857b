import { expect, test } from "vitest";
import { mayDo, type Wish } from "../../../../emulator/s3/access.ts";

const grant = { bucket: "b", prefix: "runs/a" };
const wish: Wish = { reach: "object", bucket: "b", key: "runs/a/x", prefix: "", versionId: undefined, hasTags: false };

test.each<[string, Partial<Wish>, boolean]>([
  ["an object below", {}, true],
  ["the prefix itself", { key: "runs/a" }, false],
  ["what begins alike", { key: "runs/ab" }, false],
  ["dots that would lead out", { key: "runs/a/../b" }, true],
  ["another bucket", { bucket: "c" }, false],
  ["a version", { versionId: "null" }, false],
  ["tags", { hasTags: true }, false],
  ["a listing below", { reach: "listing", prefix: "runs/a/" }, true],
  ["a listing of what begins alike", { reach: "listing", prefix: "runs/a" }, false],
  ["a listing of all", { reach: "listing" }, false],
  ["the bucket's settings", { reach: "owner" }, false],
])("a run's key and %s", (_, changed, may) => {
  expect(mayDo(grant, { ...wish, ...changed })).toBe(may);
  expect(mayDo(null, { ...wish, ...changed })).toBe(true);
});

test("a key without a prefix reaches the objects of its bucket, not its settings", () => {
  const whole = { bucket: "b", prefix: "" };
  expect(mayDo(whole, { ...wish, key: "anything" })).toBe(true);
  expect(mayDo(whole, { ...wish, reach: "owner" })).toBe(false);
});
