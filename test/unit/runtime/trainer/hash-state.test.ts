import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Tensors, writeSafetensors } from "../../../../runtime/checkpoint/index.ts";
import { hashState } from "../../../../runtime/trainer/hash-state.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vl-hash-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const STATE: Tensors = {
  "params/a": { dtype: "F32", shape: [2], data: Float32Array.of(1.5, -0) },
  "optimizer/m/a": { dtype: "F32", shape: [2], data: Float32Array.of(3, 4) },
  "rng/order": { dtype: "I64", shape: [], data: BigInt64Array.of(9n) },
};

async function hashOf(tensors: Tensors) {
  const path = join(dir, "tensors.safetensors");
  rmSync(path, { force: true });
  await writeSafetensors(path, tensors);
  return hashState(dir);
}

test("a flipped byte of any group changes the hash of that group alone", async () => {
  const before = await hashOf(STATE);
  const path = join(dir, "tensors.safetensors");
  const bytes = readFileSync(path);
  const changed: string[] = [];
  for (let at = bytes.length - 24; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] as number) ^ 0x10;
    writeFileSync(path, flipped);
    const after = await hashState(dir);
    changed.push((["params", "optimizer", "rng"] as const).filter((group) => after[group] !== before[group]).join());
  }
  // Wide elements come first in the file, then names in order.
  expect(changed).toEqual([...Array(8).fill("rng"), ...Array(8).fill("optimizer"), ...Array(8).fill("params")]);
});

test("the order in which tensors were written does not matter; names, types and shapes do", async () => {
  const before = await hashOf(STATE);
  expect(await hashOf(Object.fromEntries(Object.entries(STATE).reverse()))).toEqual(before);
  const data = Float32Array.of(1.5, -0);
  const others: Tensors[] = [
    { "params/b": { dtype: "F32", shape: [2], data } },
    { "params/a": { dtype: "F32", shape: [1, 2], data } },
    { "params/a": { dtype: "U32", shape: [2], data: new Uint32Array(data.buffer) } },
    { "params/a": { dtype: "F32", shape: [2], data: Float32Array.of(1.5, 0) } }, // the other zero
  ];
  for (const other of others) expect((await hashOf(other)).params).not.toBe(before.params);
});
