import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { compareStates, PARTS } from "../../../../cli/demo/compare.ts";
import { TENSORS, writeSafetensors } from "../../../../runtime/checkpoint/index.ts";
import { hashState } from "../../../../runtime/trainer/index.ts";

const HASHES = { params: "a".repeat(64), optimizer: "b".repeat(64), rng: "c".repeat(64) };

test("two runs are the same when every part of their state is", () => {
  const { bitExact, lines } = compareStates(HASHES, { ...HASHES });
  expect(bitExact).toBe(true);
  expect(lines[0]).toBe("params    aaaaaaaaaaaaaaaa… = aaaaaaaaaaaaaaaa…");
});

test.each(PARTS)("one other bit in %s makes them different", (part) => {
  const { bitExact, lines } = compareStates(HASHES, { ...HASHES, [part]: "d".repeat(64) });
  expect(bitExact).toBe(false);
  expect(lines.filter((line) => line.includes("is not"))).toHaveLength(1);
});

test.each(PARTS)("a part that is missing on both sides proves nothing: %s", (part) => {
  expect(compareStates({ ...HASHES, [part]: "" }, { ...HASHES, [part]: "" }).bitExact).toBe(false);
});

test("one flipped bit in a checkpoint's file makes two runs different, in whichever part it lies", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-compare-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const tensor = (value: number) => ({ dtype: "F32" as const, shape: [4], data: new Float32Array(4).fill(value) });
  const whole = join(folder, TENSORS);
  await writeSafetensors(whole, { "params/w": tensor(1), "optimizer/m": tensor(2), "rng/data": tensor(3) });
  const before = await hashState(folder);
  expect(compareStates(before, await hashState(folder)).bitExact).toBe(true);
  const bytes = readFileSync(whole);
  const dataAt = 8 + Number(bytes.readBigUInt64LE(0));
  const differing = new Set<string>();
  for (let at = dataAt; at < bytes.length; at += 5) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    writeFileSync(whole, flipped);
    const { bitExact, lines } = compareStates(await hashState(folder), before);
    expect(bitExact).toBe(false);
    for (const line of lines.filter((text) => text.includes("is not"))) differing.add(line.slice(0, 9).trim());
  }
  expect([...differing].sort()).toEqual(["optimizer", "params", "rng"]);
});
