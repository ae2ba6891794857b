/** Checksums: known values, in any cuts, and sums of parts that are those of the whole. */
import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ALGORITHMS,
  type Algorithm,
  checksumOfParts,
  createHasher,
  statedChecksum,
} from "../../../../emulator/s3/checksums.ts";
import { S3Error } from "../../../../emulator/s3/errors.ts";

const CRCS: Algorithm[] = ["CRC32", "CRC32C", "CRC64NVME"];

function sum(algorithm: Algorithm, ...pieces: Buffer[]): string {
  const hasher = createHasher(algorithm);
  for (const piece of pieces) hasher.update(piece);
  return hasher.digest();
}

const hex = (base64: string) => Buffer.from(base64, "base64").toString("hex");

describe("a checksum", () => {
  // The check values of the CRC catalogue are those of "123456789".
  test.each([
    ["CRC32", "cbf43926"],
    ["CRC32C", "e3069283"],
    ["CRC64NVME", "ae8b14860a799888"],
    ["SHA1", createHash("sha1").update("123456789").digest("hex")],
    ["SHA256", createHash("sha256").update("123456789").digest("hex")],
  ] as const)("%s of 123456789 is %s", (algorithm, value) => {
    expect(hex(sum(algorithm, Buffer.from("123456789")))).toBe(value);
  });

  test("does not depend on how the bytes come", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...ALGORITHMS),
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        (algorithm, pieces) => {
          const buffers = pieces.map((piece) => Buffer.from(piece));
          expect(sum(algorithm, ...buffers)).toBe(sum(algorithm, Buffer.concat(buffers)));
        },
      ),
      { numRuns: 300 },
    );
  });

  test("CRC32 by our tables is zlib's", () => {
    const bytes = randomBytes(1000);
    expect(hex(sum("CRC32", bytes))).toBe(crc32(bytes).toString(16).padStart(8, "0"));
  });
});

describe("a multipart object", () => {
  test("has the checksum of the whole from those of its parts", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CRCS),
        fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 6 }),
        (algorithm, pieces) => {
          const parts = pieces.map((piece) => ({ size: piece.length, checksum: sum(algorithm, Buffer.from(piece)) }));
          expect(checksumOfParts(algorithm, "FULL_OBJECT", parts)?.value).toBe(
            sum(algorithm, Buffer.concat(pieces.map((piece) => Buffer.from(piece)))),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test("has the checksum of its parts' checksums, and their number, when it is a composite", () => {
    const parts = ["a", "b"].map((text) => ({ size: 1, checksum: sum("SHA256", Buffer.from(text)) }));
    const digests = parts.map(({ checksum }) => Buffer.from(checksum, "base64"));
    const value = `${createHash("sha256").update(Buffer.concat(digests)).digest("base64")}-2`;
    expect(checksumOfParts("SHA256", "COMPOSITE", parts)).toEqual({ algorithm: "SHA256", type: "COMPOSITE", value });
  });

  test("has none when a part has none, or when there is no such sum", () => {
    expect(checksumOfParts("CRC32", "FULL_OBJECT", [{ size: 1, checksum: undefined }])).toBeUndefined();
    const [checksum] = [sum("SHA1", Buffer.from("a"))];
    expect(checksumOfParts("SHA1", "FULL_OBJECT", [{ size: 1, checksum }])).toBeUndefined();
  });
});

describe("what a request states", () => {
  test("is found in the header, or announced for the trailer", () => {
    const value = sum("CRC32C", Buffer.from("x"));
    expect(statedChecksum({})).toBeUndefined();
    expect(statedChecksum({ "x-amz-checksum-crc32c": value })).toEqual({ algorithm: "CRC32C", value });
    expect(statedChecksum({ "x-amz-trailer": "x-amz-checksum-crc64nvme" })).toEqual({
      algorithm: "CRC64NVME",
      value: undefined,
    });
  });

  test.each<[Record<string, string>, string]>([
    [{ "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "x" }, "two of them"],
    [{ "x-amz-checksum-crc32": "AAAA" }, "too short"],
    [{ "x-amz-checksum-crc32": "AAAAAA=!" }, "not base64"],
    [{ "x-amz-sdk-checksum-algorithm": "CRC32" }, "named and not there"],
  ])("is refused when it makes no sense: %j, %s", (headers) => {
    expect(() => statedChecksum(headers)).toThrow(S3Error);
  });
});
