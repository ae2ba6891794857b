import fc from "fast-check";
import { expect, test } from "vitest";
import { rngOf, rngStreams, threefry2x32 } from "../../../../runtime/trainer/rng.ts";

test.each<[[number, number], [number, number], [number, number]]>([
  // Known answers of Random123, the authors' library (kat_vectors, threefry2x32, 20 rounds).
  [
    [0, 0],
    [0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x13198a2e, 0x03707344],
    [0x243f6a88, 0x85a308d3],
    [0xc4923a9c, 0x483df7a0],
  ],
])("Threefry of key %j and counter %j is the authors'", (key, counter, wanted) => {
  expect(threefry2x32(key, counter)).toEqual(wanted);
});

test("a stream goes on from its state as if it had never stopped", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.nat(40),
      fc.array(fc.constantFrom("uint32", "uniform", "normal"), { maxLength: 20 }),
      (seed, skip, draws) => {
        const first = rngStreams(seed);
        const stream = first.stream("x");
        for (let n = 0; n < skip; n++) stream.uint32();
        const second = rngStreams(0); // the state holds the key too
        second.restore(structuredClone(first.state()));
        const resumed = second.stream("x");
        for (const draw of draws as ("uint32" | "uniform" | "normal")[]) expect(resumed[draw]()).toBe(stream[draw]());
        expect(second.state()).toEqual(first.state());
      },
    ),
    { numRuns: 50 },
  );
});

test("streams of other names and other seeds are others, and do not disturb each other", () => {
  const streams = rngStreams(7);
  const alone = rngOf(7, "a");
  const a = streams.stream("a");
  const b = streams.stream("b");
  const pairs = Array.from({ length: 20 }, () => [a.uint32(), b.uint32(), alone.uint32()] as const);
  expect(pairs.every(([x, y, z]) => x === z && x !== y)).toBe(true);
  for (const seed of [8, 7 + 2 ** 32]) expect(rngOf(seed, "a").uint32()).not.toBe(rngOf(7, "a").uint32());
});

test("numbers have the distributions that they promise", () => {
  const rng = rngOf(3, "test");
  const count = 20_000;
  const uniform = Array.from({ length: count }, () => rng.uniform());
  const normal = Array.from({ length: count }, () => rng.normal());
  const below = Array.from({ length: count }, () => rng.below(6));
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...uniform)).toBeLessThan(1);
  expect(Math.abs(mean(uniform) - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(mean(normal))).toBeLessThan(0.03);
  expect(Math.abs(mean(normal.map((x) => x * x)) - 1)).toBeLessThan(0.05);
  for (let face = 0; face < 6; face++) {
    expect(Math.abs(below.filter((x) => x === face).length / count - 1 / 6)).toBeLessThan(0.015);
  }
});

test("a count beyond 32 bits is kept", () => {
  const streams = rngStreams(1);
  const state = { x: { dtype: "U32" as const, shape: [4], data: Uint32Array.of(1, 2, 0xffffffff, 5) } };
  streams.restore(state);
  streams.stream("x").uint32();
  expect(streams.state().x?.data).toEqual(Uint32Array.of(1, 2, 0, 6));
});
