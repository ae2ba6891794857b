import { describe, expect, test } from "vitest";
import { isBucketName, isPrefix, joinKey } from "../../../../infra/storage/names.ts";

describe("a bucket's name", () => {
  test.each(["abc", "my-bucket", "a.b.c", "1-2", "a".repeat(63)])("%s is good", (name) => {
    expect(isBucketName(name)).toBe(true);
  });
  test.each([
    "ab",
    "a".repeat(64),
    "My-bucket",
    "my_bucket",
    "-abc",
    "abc-",
    "a..b",
    "192.168.0.1",
    "xn--a",
    "a-s3alias",
    "s3://abc",
    "",
  ])("%s is refused", (name) => {
    expect(isBucketName(name)).toBe(false);
  });
});

describe("a prefix", () => {
  test.each(["", "checkpoints", "checkpoints/dev", "a/b/", "/a", "run=1/x_y.z"])("%s is good", (prefix) => {
    expect(isPrefix(prefix)).toBe(true);
  });
  test.each(["*", "a/*", "a?b", "a//b", "a/../b", ".", `\${aws:username}`, "a b"])("%s is refused", (prefix) => {
    expect(isPrefix(prefix)).toBe(false);
  });
});

test("keys are joined by single slashes, whatever is empty", () => {
  expect(joinKey("a/", "/b")).toBe("a/b");
  expect(joinKey("", "b")).toBe("b");
  expect(joinKey("a", "")).toBe("a");
});
