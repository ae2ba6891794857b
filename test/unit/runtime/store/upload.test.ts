import { expect, test } from "vitest";
import { partSize } from "../../../../runtime/store/upload.ts";

const MiB = 1 << 20;

test.each([
  [16 * MiB + 1, 8 * MiB],
  [1024 * MiB, 8 * MiB],
  [80_000 * MiB, 8 * MiB],
  [80_001 * MiB, 9 * MiB],
  [5 * 1024 * 1024 * MiB, 525 * MiB],
])("a file of %i bytes goes in parts of %i, ten thousand at most", (size, bytes) => {
  expect(partSize(size)).toBe(bytes);
  expect(Math.ceil(size / bytes)).toBeLessThanOrEqual(10_000);
});
