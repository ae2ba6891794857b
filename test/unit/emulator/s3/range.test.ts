import { expect, test } from "vitest";
import { parseCopyRange, parseRange } from "../../../../emulator/s3/range.ts";

test.each<[string | undefined, number, [number, number] | undefined]>([
  [undefined, 10, undefined],
  ["bytes=0-0", 10, [0, 1]],
  ["bytes=2-", 10, [2, 10]],
  ["bytes=-3", 10, [7, 10]],
  ["bytes=-30", 10, [0, 10]],
  ["bytes=8-99", 10, [8, 10]],
  ["bytes=5-2", 10, undefined],
  ["bytes=-", 10, undefined],
  ["bytes=1-2,4-5", 10, undefined],
  ["lines=1-2", 10, undefined],
])("%s of %d bytes is %j", (header, size, span) => {
  expect(parseRange(header, size)).toEqual(span && { start: span[0], end: span[1] });
});

test.each([
  ["bytes=10-", 10],
  ["bytes=-0", 10],
  ["bytes=0-", 0],
])("%s of %d bytes is nowhere", (header, size) => {
  expect(() => parseRange(header, size)).toThrow("not satisfiable");
});

test("a part of a copy lies inside of its source", () => {
  expect(parseCopyRange(undefined, 5)).toEqual({ start: 0, end: 5 });
  expect(parseCopyRange("bytes=1-4", 5)).toEqual({ start: 1, end: 5 });
  for (const header of ["bytes=1-5", "bytes=3-2", "bytes=1-", "1-2"]) expect(() => parseCopyRange(header, 5)).toThrow();
});
