/**
 * The checksums that clients send along and ask back: which one a request names, how it is computed while the bytes
 * pass, and what the one of a multipart object is made of. Source: "Checking object integrity" of the S3 user guide.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { type CrcName, combineCrc, createCrc, POLYNOMIALS } from "./crc.ts";
import { S3Error } from "./errors.ts";

/** Names as in `x-amz-checksum-algorithm`, with their length in bytes. */
const BYTES = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 } as const;

export type Algorithm = keyof typeof BYTES;
export type ChecksumType = "COMPOSITE" | "FULL_OBJECT";

/** As it is stored: `value` in base64, with `-N` behind it where it is made of N parts' checksums. */
export interface Checksum {
  algorithm: Algorithm;
  type: ChecksumType;
  value: string;
}

/** What a request says of its body: the value, or that the trailer will have it. */
export interface Stated {
  algorithm: Algorithm;
  value: string | undefined;
}

export interface Hasher {
  update(bytes: Buffer): void;
  /** Base64. */
  digest(): string;
}

export const ALGORITHMS = Object.keys(BYTES) as Algorithm[];

export const headerOf = (algorithm: Algorithm): string => `x-amz-checksum-${algorithm.toLowerCase()}`;
/** `ChecksumCRC32C`: the element's name in XML. */
export const elementOf = (algorithm: Algorithm): string => `Checksum${algorithm}`;

/** The checksum that a request names, if any. @throws S3Error InvalidRequest when it names several or a wrong one */
export function statedChecksum(headers: Record<string, string>): Stated | undefined {
  const inHeader = ALGORITHMS.filter((algorithm) => headers[headerOf(algorithm)] !== undefined);
  const trailers = (headers["x-amz-trailer"] ?? "").split(",").map((name) => name.trim().toLowerCase());
  const inTrailer = ALGORITHMS.filter((algorithm) => trailers.includes(headerOf(algorithm)));
  if (inHeader.length + inTrailer.length > 1)
    throw new S3Error(
      "InvalidRequest",
      "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    );
  const [algorithm = inTrailer[0]] = inHeader;
  const named = headers["x-amz-sdk-checksum-algorithm"];
  if (algorithm === undefined) {
    if (named === undefined) return undefined;
    throw new S3Error(
      "InvalidRequest",
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
    );
  }
  const value = headers[headerOf(algorithm)];
  if (value !== undefined) checkForm(algorithm, value);
  return { algorithm, value };
}

/** @throws S3Error InvalidRequest */
export function checkForm(algorithm: Algorithm, value: string): void {
  if (Buffer.from(value, "base64").length === BYTES[algorithm] && /^[A-Za-z0-9+/]+=*$/.test(value)) return;
  throw new S3Error("InvalidRequest", `Value for ${headerOf(algorithm)} header is invalid.`);
}

/** @throws S3Error InvalidRequest */
export function parseAlgorithm(text: string): Algorithm {
  const known = ALGORITHMS.find((one) => one === text.toUpperCase());
  if (known) return known;
  throw new S3Error(
    "InvalidRequest",
    `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${ALGORITHMS.join(", ")}]`,
  );
}

export function createHasher(algorithm: Algorithm): Hasher {
  if (algorithm === "SHA1" || algorithm === "SHA256") {
    const hash = createHash(algorithm.toLowerCase());
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("base64") };
  }
  if (algorithm === "CRC32") {
    let value = 0;
    return {
      update(bytes) {
        value = crc32(bytes, value);
      },
      digest: () => toBase64("CRC32", BigInt(value)),
    };
  }
  const crc = createCrc(algorithm);
  return { update: (bytes) => crc.update(bytes), digest: () => toBase64(algorithm, crc.value()) };
}

/** The checksum of a whole made of parts. `undefined` when a part has none. */
export function checksumOfParts(
  algorithm: Algorithm,
  type: ChecksumType,
  parts: readonly { size: number; checksum: string | undefined }[],
): Checksum | undefined {
  const values = parts.map(({ checksum }) => checksum);
  if (values.includes(undefined)) return undefined;
  if (type === "COMPOSITE") {
    const hasher = createHasher(algorithm);
    for (const value of values) hasher.update(Buffer.from(value ?? "", "base64"));
    return { algorithm, type, value: `${hasher.digest()}-${parts.length}` };
  }
  if (!isCrc(algorithm)) return undefined;
  const whole = parts.reduce(
    (sum, { size, checksum = "" }) => combineCrc(algorithm, sum, fromBase64(checksum), size),
    0n,
  );
  return { algorithm, type, value: toBase64(algorithm, whole) };
}

/** What an upload's checksum is when only its algorithm was named. */
export function defaultType(algorithm: Algorithm): ChecksumType {
  return algorithm === "CRC64NVME" ? "FULL_OBJECT" : "COMPOSITE";
}

/** Which of the two an algorithm can be. */
export function canBe(algorithm: Algorithm, type: ChecksumType): boolean {
  return type === "COMPOSITE" ? algorithm !== "CRC64NVME" : isCrc(algorithm);
}

function isCrc(algorithm: Algorithm): algorithm is CrcName {
  return algorithm in POLYNOMIALS;
}

function toBase64(name: CrcName, value: bigint): string {
  const { width } = POLYNOMIALS[name];
  return Buffer.from(value.toString(16).padStart(width / 4, "0"), "hex").toString("base64");
}

function fromBase64(text: string): bigint {
  return BigInt(`0x${Buffer.from(text, "base64").toString("hex") || "0"}`);
}
