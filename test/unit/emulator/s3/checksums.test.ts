import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ALGORITHMS,
  type Algorithm,
  checksumOfParts,
  createHasher,
  statedChecksum,
} from "../../../../emulator/s3/checksums.ts";

function sumOf(algorithm: Algorithm, ...pieces: Buffer[]): string {
  const hasher = createHasher(algorithm);
  for (const piece of pieces) hasher.update(piece);
  return hasher.digest();
}

/** Of `123456789`. Source: the check values of the RevEng catalogue of CRCs; FIPS 180-4 for the hashes. */
test.each<[Algorithm, string]>([
  ["CRC32", "cbf43926"],
  ["CRC32C", "e3069283"],
  ["CRC64NVME", "ae8b14860a799888"],
  ["SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"],
  ["SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"],
])("%s has its known value", (algorithm, hex) => {
  expect(Buffer.from(sumOf(algorithm, Buffer.from("123456789")), "base64").toString("hex")).toBe(hex);
});

describe.each(ALGORITHMS)("%s", (algorithm) => {
  test("is the same however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (arrays) => {
        const pieces = arrays.map((array) => Buffer.from(array));
        expect(sumOf(algorithm, ...pieces)).toBe(sumOf(algorithm, Buffer.concat(pieces)));
      }),
    );
  });
});

describe.each(["CRC32", "CRC32C", "CRC64NVME"] as const)("%s of parts", (algorithm) => {
  test("is that of the whole", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 70 }), { minLength: 1, maxLength: 6 }), (arrays) => {
        const pieces = arrays.map((array) => Buffer.from(array));
        const parts = pieces.map((piece) => ({ size: piece.length, checksum: sumOf(algorithm, piece) }));
        expect(checksumOfParts(algorithm, "FULL_OBJECT", parts)?.value).toBe(sumOf(algorithm, Buffer.concat(pieces)));
      }),
    );
  });

  test("is that of the whole for large parts", () => {
    const pieces = [Buffer.alloc(5_000_003, 7), Buffer.alloc(3_000_001, 9)];
    const parts = pieces.map((piece) => ({ size: piece.length, checksum: sumOf(algorithm, piece) }));
    expect(checksumOfParts(algorithm, "FULL_OBJECT", parts)?.value).toBe(sumOf(algorithm, Buffer.concat(pieces)));
  });
});

test("parts without a checksum have no sum, and hashes have none of the whole", () => {
  expect(checksumOfParts("CRC32", "COMPOSITE", [{ size: 1, checksum: undefined }])).toBeUndefined();
  expect(checksumOfParts("SHA256", "FULL_OBJECT", [{ size: 1, checksum: "AA==" }])).toBeUndefined();
});

describe("what a request states", () => {
  test.each<[Record<string, string>, unknown]>([
    [{}, undefined],
    [{ "x-amz-checksum-crc32": "AAAAAA==" }, { algorithm: "CRC32", value: "AAAAAA==" }],
    [{ "x-amz-trailer": "x-amz-checksum-sha1" }, { algorithm: "SHA1", value: undefined }],
    [
      { "x-amz-sdk-checksum-algorithm": "CRC32C", "x-amz-checksum-crc32c": "AAAAAA==" },
      { algorithm: "CRC32C", value: "AAAAAA==" },
    ],
  ])("%j", (headers, stated) => {
    expect(statedChecksum(headers)).toEqual(stated);
  });

  test.each<[Record<string, string>]>([
    [{ "x-amz-checksum-crc32": "AAA" }],
    [{ "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AA" }],
    [{ "x-amz-sdk-checksum-algorithm": "CRC32" }],
  ])("%j is refused", (headers) => {
    expect(() => statedChecksum(headers)).toThrow();
  });
});
