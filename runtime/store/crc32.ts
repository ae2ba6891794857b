/**
 * CRC-32 of a file from those of its parts, which arrive in any order. It costs a third of SHA-256 and is computed
 * from bytes that are in the processor's cache anyway, so a restore finds damage at no cost in time.
 */
import * as zlib from "node:zlib";

/** Node's own, from 20.15 and 22.2 on; undefined before: then nobody computes any. */
export const crc32: ((bytes: Uint8Array, before?: number) => number) | undefined = zlib.crc32;

/** As it stands in manifests: 8 hex digits. */
export const crcText = (crc: number) => crc.toString(16).padStart(8, "0");

/**
 * The CRC of `a` followed by `b`, from theirs and the length of `b` in bytes.
 * Source: zlib's crc32_combine (appending a zero bit is a linear map over GF(2), so `length` of them are its power).
 */
export function combineCrc32(a: number, b: number, length: number): number {
  let crc = a;
  let power = square(square(square(zeroBit()))); // one byte of zeros
  for (let left = length; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) crc = times(power, crc);
    power = square(power);
  }
  return (crc ^ b) >>> 0;
}

/** The map that appends one zero bit: column n is what bit n becomes. */
function zeroBit(): Uint32Array {
  const columns = new Uint32Array(32);
  columns[0] = 0xedb88320;
  for (let n = 1; n < 32; n += 1) columns[n] = 2 ** (n - 1);
  return columns;
}

function times(map: Uint32Array, vector: number): number {
  let sum = 0;
  for (let n = 0, rest = vector >>> 0; rest !== 0; n += 1, rest >>>= 1) if (rest & 1) sum ^= map[n] as number;
  return sum >>> 0;
}

const square = (map: Uint32Array) => map.map((column) => times(map, column));
