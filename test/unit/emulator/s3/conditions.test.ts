import { describe, expect, test } from "vitest";
import { checkDelete, checkRead, checkWrite } from "../../../../emulator/s3/conditions.ts";
import type { S3Error } from "../../../../emulator/s3/errors.ts";
import { version } from "./version.ts";

const current = version("x", { etag: "abc", modified: Date.UTC(2026, 0, 1) });

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    return (error as S3Error).code;
  }
}

describe("writes", () => {
  test.each<[Record<string, string>, string, string]>([
    [{}, "ok", "ok"],
    [{ "if-none-match": "*" }, "PreconditionFailed", "ok"],
    [{ "if-none-match": '"abc"' }, "NotImplemented", "NotImplemented"],
    [{ "if-match": '"abc"' }, "ok", "NoSuchKey"],
    [{ "if-match": "abc" }, "ok", "NoSuchKey"],
    [{ "if-match": '"other"' }, "PreconditionFailed", "NoSuchKey"],
    [{ "if-match": "*" }, "ok", "NoSuchKey"],
    [{ "if-match": '"abc"', "if-none-match": "*" }, "PreconditionFailed", "NoSuchKey"],
  ])("%j: %s where the object is, %s where it is not", (headers, there, absent) => {
    expect(codeOf(() => checkWrite(headers, current))).toBe(there);
    expect(codeOf(() => checkWrite(headers, undefined))).toBe(absent);
  });

  test("deletes need what they name, or nothing", () => {
    expect(codeOf(() => checkDelete(undefined, undefined))).toBe("ok");
    expect(codeOf(() => checkDelete('"abc"', current))).toBe("ok");
    expect(codeOf(() => checkDelete('"other"', current))).toBe("PreconditionFailed");
    expect(codeOf(() => checkDelete("*", undefined))).toBe("NoSuchKey");
  });
});

const [before, after] = ["Wed, 31 Dec 2025 00:00:00 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"];

test.each<[Record<string, string>, string]>([
  [{ "if-match": '"abc"' }, "ok"],
  [{ "if-match": '"x", "abc"' }, "ok"],
  [{ "if-match": '"x"' }, "PreconditionFailed"],
  [{ "if-none-match": 'W/"abc"' }, "NotModified"],
  [{ "if-none-match": '"x"' }, "ok"],
  [{ "if-modified-since": before }, "ok"],
  [{ "if-modified-since": after }, "NotModified"],
  [{ "if-unmodified-since": before }, "PreconditionFailed"],
  [{ "if-unmodified-since": after }, "ok"],
  [{ "if-match": '"abc"', "if-unmodified-since": before }, "ok"],
  [{ "if-none-match": '"x"', "if-modified-since": after }, "ok"],
  [{ "if-modified-since": "nonsense" }, "ok"],
])("reads with %j: %s", (headers, code) => {
  expect(codeOf(() => checkRead(headers, current))).toBe(code);
});
