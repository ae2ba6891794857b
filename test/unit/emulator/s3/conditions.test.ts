/** Conditions and ranges, whose rules leave no room. */
import { describe, expect, test } from "vitest";
import { checkDelete, checkRead, checkWrite } from "../../../../emulator/s3/conditions.ts";
import { S3Error } from "../../../../emulator/s3/errors.ts";
import { parseCopyRange, parseRange } from "../../../../emulator/s3/range.ts";
import type { Version } from "../../../../emulator/s3/storage/types.ts";

const MODIFIED = Date.UTC(2026, 0, 1, 12);
const BEFORE = new Date(MODIFIED - 1000).toUTCString();
const THEN = new Date(MODIFIED).toUTCString();
const HERE = { etag: "abc", modified: MODIFIED } as Version;

function verdict(act: () => unknown): string {
  try {
    act();
    return "yes";
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

describe("a write", () => {
  test.each([
    [{}, HERE, "yes"],
    [{}, undefined, "yes"],
    [{ "if-none-match": "*" }, undefined, "yes"],
    [{ "if-none-match": "*" }, HERE, "PreconditionFailed"],
    [{ "if-none-match": '"abc"' }, HERE, "NotImplemented"],
    [{ "if-match": '"abc"' }, HERE, "yes"],
    [{ "if-match": "abc" }, HERE, "yes"],
    [{ "if-match": "*" }, HERE, "yes"],
    [{ "if-match": '"abd"' }, HERE, "PreconditionFailed"],
    [{ "if-match": '"abc"' }, undefined, "NoSuchKey"],
  ])("with %j", (headers, current, wanted) => {
    expect(verdict(() => checkWrite(headers, current))).toBe(wanted);
  });
});

test("a delete of nothing fits no condition, and needs none", () => {
  expect(verdict(() => checkDelete(undefined, undefined))).toBe("yes");
  expect(verdict(() => checkDelete('"abc"', HERE))).toBe("yes");
  expect(verdict(() => checkDelete('"abd"', HERE))).toBe("PreconditionFailed");
  expect(verdict(() => checkDelete("*", undefined))).toBe("NoSuchKey");
});

describe("a read", () => {
  test.each([
    [{ "if-match": '"abc"' }, "yes"],
    [{ "if-match": '"x", "abc"' }, "yes"],
    [{ "if-match": '"x"' }, "PreconditionFailed"],
    [{ "if-none-match": '"abc"' }, "NotModified"],
    [{ "if-none-match": 'W/"abc"' }, "NotModified"],
    [{ "if-none-match": '"x"' }, "yes"],
    [{ "if-modified-since": THEN }, "NotModified"],
    [{ "if-modified-since": BEFORE }, "yes"],
    [{ "if-unmodified-since": THEN }, "yes"],
    [{ "if-unmodified-since": BEFORE }, "PreconditionFailed"],
    // An ETag that is there decides, and the time is not asked (RFC 9110, 13.2.2).
    [{ "if-match": '"abc"', "if-unmodified-since": BEFORE }, "yes"],
    [{ "if-none-match": '"x"', "if-modified-since": THEN }, "yes"],
    [{ "if-modified-since": "some day" }, "yes"],
  ])("with %j", (headers, wanted) => {
    expect(verdict(() => checkRead(headers, HERE))).toBe(wanted);
  });
});

describe("a range", () => {
  test.each([
    ["bytes=0-0", 10, { start: 0, end: 1 }],
    ["bytes=3-", 10, { start: 3, end: 10 }],
    ["bytes=-4", 10, { start: 6, end: 10 }],
    ["bytes=-40", 10, { start: 0, end: 10 }],
    ["bytes=5-100", 10, { start: 5, end: 10 }],
    [undefined, 10, undefined],
    ["bytes=5-3", 10, undefined],
    ["bytes=0-1,3-4", 10, undefined],
    ["lines=0-1", 10, undefined],
    ["bytes=-", 10, undefined],
  ])("%s of %i bytes", (header, size, span) => {
    expect(parseRange(header, size)).toEqual(span);
  });

  test.each(["bytes=10-", "bytes=10-12", "bytes=-0"])("%s of 10 bytes is nothing that is there", (header) => {
    expect(verdict(() => parseRange(header, 10))).toBe("InvalidRange");
    expect(verdict(() => parseRange("bytes=0-", 0))).toBe("InvalidRange");
  });

  test("of a copy's source must lie inside", () => {
    expect(parseCopyRange(undefined, 10)).toEqual({ start: 0, end: 10 });
    expect(parseCopyRange("bytes=2-9", 10)).toEqual({ start: 2, end: 10 });
    for (const header of ["bytes=2-10", "bytes=2-", "bytes=3-2", "2-3"])
      expect(verdict(() => parseCopyRange(header, 10))).toBe("InvalidArgument");
  });
});
