import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Dtype,
  readSafetensors,
  type Tensor,
  type TensorData,
  type Tensors,
  writeSafetensors,
} from "../../../../runtime/checkpoint/safetensors.ts";

let dir: string;
let count = 0;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-safetensors-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const newPath = () => join(dir, `${count++}.safetensors`);

const ARRAYS: Record<Dtype, new (buffer: ArrayBuffer) => TensorData> = {
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
};

const bytesOf = ({ data }: Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

const aTensor: fc.Arbitrary<Tensor> = fc
  .tuple(fc.constantFrom(...(Object.keys(ARRAYS) as Dtype[])), fc.array(fc.nat({ max: 4 }), { maxLength: 3 }))
  .chain(([dtype, shape]) => {
    const width = new ARRAYS[dtype](new ArrayBuffer(0)).BYTES_PER_ELEMENT;
    const bytes = shape.reduce((product, length) => product * length, width);
    return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((content) => {
      // A copy: fast-check's arrays may lie anywhere in a larger buffer.
      return { dtype, shape, data: new ARRAYS[dtype](new Uint8Array(content).buffer) };
    });
  });

test("whatever is written comes back bit for bit, aligned, and in memory of its own", async () => {
  const name = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "ä", "")).filter((text) => {
    return text !== "__metadata__" && text.isWellFormed();
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, aTensor), { maxLength: 6 }), async (entries) => {
      const tensors: Tensors = Object.create(null);
      for (const [key, tensor] of entries) tensors[key] = tensor;
      const path = newPath();
      await writeSafetensors(path, tensors, { format: "pt" });
      const read = await readSafetensors(path);
      expect(read.metadata).toEqual({ format: "pt" });
      expect(Object.keys(read.tensors).sort()).toEqual(Object.keys(tensors).sort());
      for (const key of Object.keys(tensors)) {
        const [wanted, found] = [tensors[key] as Tensor, read.tensors[key] as Tensor];
        expect(found.dtype).toBe(wanted.dtype);
        expect(found.shape).toEqual(wanted.shape);
        expect(found.data).toBeInstanceOf(ARRAYS[wanted.dtype]);
        expect(found.data.byteOffset).toBe(0);
        expect(bytesOf(found).equals(bytesOf(wanted))).toBe(true);
      }
      for (const { begin, width } of layoutOf(path)) expect(begin % width).toBe(0);
      rmSync(path);
    }),
    { numRuns: 60 },
  );
});

/** Where each tensor begins in the file, and the bytes of its elements. */
function layoutOf(path: string): { begin: number; width: number }[] {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  return Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([, field]) => {
      const { dtype, data_offsets } = field as { dtype: Dtype; data_offsets: number[] };
      const width = new ARRAYS[dtype](new ArrayBuffer(0)).BYTES_PER_ELEMENT;
      return { begin: 8 + length + (data_offsets[0] ?? 0), width };
    });
}

test("a part of a larger array is written, not the whole", async () => {
  const path = newPath();
  const data = new Float32Array([0, 1, 2, 3]).subarray(1, 3);
  await writeSafetensors(path, { part: { dtype: "F32", shape: [2], data } });
  expect((await readSafetensors(path)).tensors.part?.data).toEqual(new Float32Array([1, 2]));
});

test("an existing file is never written over", async () => {
  const path = newPath();
  writeFileSync(path, "precious");
  await expect(writeSafetensors(path, {})).rejects.toMatchObject({ code: "EEXIST" });
  expect(readFileSync(path, "utf8")).toBe("precious");
});

describe("what does not fit is refused before a file is there", () => {
  const data = new Float32Array(2);
  test.each<[string, Tensors, string]>([
    [
      "a shape of another size",
      { w: { dtype: "F32", shape: [3], data } },
      "tensor w: shape [3] has 3 elements, the data 2",
    ],
    [
      "another element size",
      { w: { dtype: "F64", shape: [2], data } },
      "tensor w: elements of F64 have 8 bytes, not 4",
    ],
    ["an unknown dtype", { w: { dtype: "X" as Dtype, shape: [2], data } }, "tensor w: there is no dtype X"],
    [
      "the name of the metadata",
      { __metadata__: { dtype: "F32", shape: [2], data } },
      "a tensor cannot be called __metadata__",
    ],
  ])("%s", async (_what, tensors, message) => {
    await expect(writeSafetensors(newPath(), tensors)).rejects.toThrow(message);
  });
});

function fileOf(header: unknown, content: Uint8Array | number = 0): string {
  const path = newPath();
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, typeof content === "number" ? Buffer.alloc(content) : content]));
  return path;
}

function rawFile(content: string | Buffer): string {
  const path = newPath();
  writeFileSync(path, content);
  return path;
}

describe("a file that is not whole is refused with what is wrong", () => {
  const w = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  test.each<[string, () => string, string]>([
    ["no header", () => rawFile("abc"), "it has 3 bytes"],
    ["a header longer than the file", () => rawFile(Buffer.alloc(16, 1)), "its header claims"],
    ["a header that is no object", () => fileOf("[]"), "its header does not begin with {"],
    ["a header that is cut", () => fileOf('{"w":'), "its header is not JSON"],
    ["a header that is no UTF-8", () => fileOf('{"\xff'), "its header is not JSON"],
    ["an unknown dtype", () => fileOf({ w: { ...w, dtype: "C64" } }, 8), "tensor w has the dtype C64"],
    ["a negative length", () => fileOf({ w: { ...w, shape: [-2] } }, 8), "tensor w has no valid shape"],
    [
      "offsets that are none",
      () => fileOf({ w: { ...w, data_offsets: [0] } }, 8),
      "tensor w has no valid data_offsets",
    ],
    [
      "a tensor of another size",
      () => fileOf({ w: { ...w, shape: [3] } }, 8),
      "tensor w has 8 bytes, and F32[3] needs 12",
    ],
    ["a gap", () => fileOf({ w: { ...w, data_offsets: [4, 12] } }, 12), "tensor w begins at byte 4 instead of 0"],
    ["an overlap", () => fileOf({ w, v: w }, 8), "begins at byte 0 instead of 8"],
    ["bytes that are cut off", () => fileOf({ w }, 7), "its tensors have 8 bytes, the file 7"],
    ["bytes that belong to nothing", () => fileOf({ w }, 9), "its tensors have 8 bytes, the file 9"],
    ["metadata that is no map", () => fileOf({ __metadata__: { a: 1 } }), "its __metadata__ is not a map of texts"],
    ["a tensor that is null", () => fileOf({ w: null }), "tensor w has the dtype undefined"],
  ])("%s", async (_what, make, why) => {
    await expect(readSafetensors(make())).rejects.toMatchObject({
      code: "VL_CHECKPOINT_BAD",
      why: expect.stringContaining(why),
    });
  });

  test("no change of a byte is ever a crash of ours", async () => {
    const whole = newPath();
    await writeSafetensors(whole, { w: { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) } });
    const bytes = readFileSync(whole);
    const path = newPath();
    for (let i = 0; i < bytes.length - 8; i += 1) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] ?? 0) ^ 0x15;
      writeFileSync(path, changed);
      await readSafetensors(path).catch((error) => expect(error).toMatchObject({ code: "VL_CHECKPOINT_BAD" }));
    }
  });
});
