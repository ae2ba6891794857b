/**
 * The cyclic redundancy checks that Node lacks, eight bytes at a time, and their sums: the check of two texts joined
 * from the checks of each, which a multipart upload needs. All are reflected, with all bits set before and inverted after.
 */

/** Reflected polynomial and width. Source: RFC 3309 (CRC-32C), NVM Express 2.0 (CRC-64/NVME), ISO 3309 (CRC-32). */
export const POLYNOMIALS = {
  CRC32: { width: 32, polynomial: 0xedb88320n },
  CRC32C: { width: 32, polynomial: 0x82f63b78n },
  CRC64NVME: { width: 64, polynomial: 0x9a6c9329ac4bc9b5n },
} as const;

export type CrcName = keyof typeof POLYNOMIALS;

export interface Crc {
  update(bytes: Uint8Array): void;
  value(): bigint;
}

export function createCrc(name: CrcName): Crc {
  return name === "CRC64NVME" ? createCrc64() : createCrc32(name);
}

/** The check of `a` followed by `b`, of which `b` has `bytesOfB` bytes. Source: zlib's crc32_combine. */
export function combineCrc(name: CrcName, a: bigint, b: bigint, bytesOfB: number): bigint {
  const { width, polynomial } = POLYNOMIALS[name];
  const one = 1n << BigInt(width - 1);
  /** Product of two polynomials modulo the check's own. */
  const multiply = (x: bigint, y: bigint) => {
    let product = 0n;
    for (let bit = one, shifted = y; bit > 0n; bit >>= 1n) {
      if (x & bit) product ^= shifted;
      shifted = shifted & 1n ? (shifted >> 1n) ^ polynomial : shifted >> 1n;
    }
    return product;
  };
  let power = one >> 8n; // x^8: one byte
  let shift = one;
  for (let left = bytesOfB; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) shift = multiply(power, shift);
    power = multiply(power, power);
  }
  return multiply(shift, a) ^ b;
}

function createCrc32(name: "CRC32" | "CRC32C"): Crc {
  const { low } = tablesOf(name);
  let crc = 0xffffffff;
  return {
    update(bytes) {
      let at = 0;
      for (; at + 8 <= bytes.length; at += 8) {
        const first = crc ^ word(bytes, at);
        const second = word(bytes, at + 4);
        crc =
          look(low, 7, first & 255) ^
          look(low, 6, (first >>> 8) & 255) ^
          look(low, 5, (first >>> 16) & 255) ^
          look(low, 4, first >>> 24) ^
          look(low, 3, second & 255) ^
          look(low, 2, (second >>> 8) & 255) ^
          look(low, 1, (second >>> 16) & 255) ^
          look(low, 0, second >>> 24);
      }
      for (; at < bytes.length; at++) crc = (crc >>> 8) ^ look(low, 0, (crc ^ (bytes[at] as number)) & 255);
    },
    value: () => BigInt(~crc >>> 0),
  };
}

function createCrc64(): Crc {
  const { low, high } = tablesOf("CRC64NVME");
  let lowCrc = 0xffffffff;
  let highCrc = 0xffffffff;
  return {
    update(bytes) {
      let at = 0;
      for (; at + 8 <= bytes.length; at += 8) {
        const first = lowCrc ^ word(bytes, at);
        const second = highCrc ^ word(bytes, at + 4);
        lowCrc = 0;
        highCrc = 0;
        for (let byte = 0; byte < 4; byte++) {
          const [x, y] = [(first >>> (byte * 8)) & 255, (second >>> (byte * 8)) & 255];
          lowCrc ^= look(low, 7 - byte, x) ^ look(low, 3 - byte, y);
          highCrc ^= look(high, 7 - byte, x) ^ look(high, 3 - byte, y);
        }
      }
      for (; at < bytes.length; at++) {
        const index = (lowCrc ^ (bytes[at] as number)) & 255;
        lowCrc = ((lowCrc >>> 8) | (highCrc << 24)) ^ look(low, 0, index);
        highCrc = (highCrc >>> 8) ^ look(high, 0, index);
      }
    },
    value: () => (BigInt(~highCrc >>> 0) << 32n) | BigInt(~lowCrc >>> 0),
  };
}

interface Tables {
  /** Entry of byte `b` in table `t` at `t * 256 + b`; the lower and the upper 32 bits. */
  low: Int32Array;
  high: Int32Array;
}

const made = new Map<CrcName, Tables>();

/** Table t holds what a byte does to the check after t more bytes. */
function tablesOf(name: CrcName): Tables {
  const known = made.get(name);
  if (known) return known;
  const { polynomial } = POLYNOMIALS[name];
  const tables = { low: new Int32Array(8 * 256), high: new Int32Array(8 * 256) };
  const first: bigint[] = [];
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    first.push(value);
  }
  for (let byte = 0; byte < 256; byte++) {
    let value = first[byte] as bigint;
    for (let table = 0; table < 8; table++) {
      tables.low[table * 256 + byte] = Number(value & 0xffffffffn);
      tables.high[table * 256 + byte] = Number(value >> 32n);
      value = (first[Number(value & 255n)] as bigint) ^ (value >> 8n);
    }
  }
  made.set(name, tables);
  return tables;
}

function look(table: Int32Array, number: number, byte: number): number {
  return table[number * 256 + byte] as number;
}

function word(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number];
  return a | (b << 8) | (c << 16) | (d << 24);
}
