/** Only the real Python package can show that its files and ours are the same format. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSafetensors, type Tensors, writeSafetensors } from "../../../runtime/checkpoint/index.ts";
import { type PythonVenv, pythonVenv } from "../../helpers/python.ts";

const venv = await pythonVenv();
const python = venv as PythonVenv;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-python-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Every dtype that numpy knows, with values that a wrong byte order or width would spoil. */
const tensors: Tensors = {
  f64: { dtype: "F64", shape: [2], data: new Float64Array([Math.PI, -0]) },
  f32: { dtype: "F32", shape: [2, 2], data: new Float32Array([1.5, -2, Number.POSITIVE_INFINITY, 1e-45]) },
  f16: { dtype: "F16", shape: [2], data: new Uint16Array([0x3c00, 0xc000]) },
  i64: { dtype: "I64", shape: [2], data: new BigInt64Array([-(2n ** 62n), 7n]) },
  u64: { dtype: "U64", shape: [1], data: new BigUint64Array([2n ** 63n]) },
  i32: { dtype: "I32", shape: [1, 1, 2], data: new Int32Array([-5, 2 ** 30]) },
  u32: { dtype: "U32", shape: [1], data: new Uint32Array([2 ** 31]) },
  i16: { dtype: "I16", shape: [1], data: new Int16Array([-300]) },
  u16: { dtype: "U16", shape: [1], data: new Uint16Array([60_000]) },
  i8: { dtype: "I8", shape: [3], data: new Int8Array([-1, 0, 1]) },
  u8: { dtype: "U8", shape: [0, 3], data: new Uint8Array(0) },
  bool: { dtype: "BOOL", shape: [2], data: new Uint8Array([1, 0]) },
  scalar: { dtype: "F32", shape: [], data: new Float32Array([42]) },
};

const DESCRIBE = `
import json, sys
from safetensors import safe_open
from safetensors.numpy import load_file
found = load_file(sys.argv[1])
with safe_open(sys.argv[1], framework="np") as file: metadata = file.metadata()
print(json.dumps({"metadata": metadata, "tensors": {
    name: [str(array.dtype), list(array.shape), array.tobytes().hex()] for name, array in found.items()}}))
`;

const NUMPY = { F64: "float64", F32: "float32", F16: "float16", I64: "int64", U64: "uint64", I32: "int32" } as const;
const NUMPY_MORE = { U32: "uint32", I16: "int16", U16: "uint16", I8: "int8", U8: "uint8", BOOL: "bool" } as const;
const dtypes: Record<string, string> = { ...NUMPY, ...NUMPY_MORE };

const hexOf = ({ data }: Tensors[string]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

test.runIf(venv.ok)("Python reads what we write", async () => {
  const path = join(dir, "ours.safetensors");
  await writeSafetensors(path, tensors, { format: "pt", note: "ä" });
  const found = JSON.parse(await python.run(DESCRIBE, path));
  expect(found.metadata).toEqual({ format: "pt", note: "ä" });
  expect(found.tensors).toEqual(
    Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, [dtypes[tensor.dtype], tensor.shape, hexOf(tensor)]]),
    ),
  );
});

test.runIf(venv.ok)("we read what Python writes", async () => {
  const ours = join(dir, "again.safetensors");
  const theirs = join(dir, "theirs.safetensors");
  await writeSafetensors(ours, tensors, { format: "pt" });
  const text = `
import sys
from safetensors.numpy import load_file, save_file
save_file(load_file(sys.argv[1]), sys.argv[2], metadata={"format": "pt"})
`;
  await python.run(text, ours, theirs);
  const found = await readSafetensors(theirs);
  expect(found.metadata).toEqual({ format: "pt" });
  for (const [name, tensor] of Object.entries(tensors)) {
    expect(found.tensors[name]).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape });
    expect(hexOf(found.tensors[name] as Tensors[string])).toBe(hexOf(tensor));
  }
  expect(Object.keys(found.tensors).sort()).toEqual(Object.keys(tensors).sort());
});

test.runIf(venv.ok)("Python refuses what we refuse: a file that is cut", async () => {
  const path = join(dir, "cut.safetensors");
  await writeSafetensors(path, tensors);
  const { truncateSync, statSync } = await import("node:fs");
  truncateSync(path, statSync(path).size - 1);
  await expect(readSafetensors(path)).rejects.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
  await expect(python.run(DESCRIBE, path)).rejects.toThrow("SafetensorError");
});
