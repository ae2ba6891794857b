import fc from "fast-check";
import { expect, test } from "vitest";
import { combineCrc32, crc32, crcText } from "../../../../runtime/store/crc32.ts";

const sum = (bytes: Uint8Array) => crc32?.(bytes) ?? Number.NaN;

test("the check value of the standard", () => {
  expect(crcText(sum(Buffer.from("123456789")))).toBe("cbf43926");
  expect(crcText(0)).toBe("00000000");
});

test("sums of parts make the sum of the whole", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }), (parts) => {
      const combined = parts.reduce((crc, part) => combineCrc32(crc, sum(part), part.length), 0);
      expect(combined).toBe(sum(Buffer.concat(parts)));
    }),
  );
});

test("parts of 16 MiB as well", () => {
  const part = Buffer.alloc(16 << 20, "vastlane");
  expect(combineCrc32(sum(part), sum(part), part.length)).toBe(sum(Buffer.concat([part, part])));
});
