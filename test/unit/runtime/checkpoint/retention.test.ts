import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KEEP_ALL, type Kept, type Retention, surplusOf } from "../../../../runtime/checkpoint/retention.ts";

/** Newest first, with a loss that falls with the step unless given. */
const lineageOf = (...steps: number[]): Kept[] =>
  steps.map((step) => ({ id: `s${step}`, step, metrics: { loss: 1 / step } }));
const rules = (more: Partial<Retention>): Retention => ({ ...KEEP_ALL, ...more });

test("without a number to keep, everything is kept", () => {
  expect(surplusOf(lineageOf(3, 2, 1), KEEP_ALL)).toEqual([]);
  expect(surplusOf(lineageOf(3, 2, 1), rules({ keepEvery: 2, keepBest: 1 }))).toEqual([]);
});

test("the newest so many are kept", () => {
  expect(surplusOf(lineageOf(5, 4, 3, 2, 1), rules({ keepRemote: 3 }))).toEqual(["s2", "s1"]);
});

test("two are kept at least, so that a damaged head has one to fall back on", () => {
  expect(surplusOf(lineageOf(3, 2, 1), rules({ keepRemote: 0 }))).toEqual(["s1"]);
});

test("milestones are kept besides", () => {
  const lineage = lineageOf(600, 500, 400, 300, 200, 100);
  expect(surplusOf(lineage, rules({ keepRemote: 2, keepEvery: 200 }))).toEqual(["s300", "s100"]);
});

test("the best are kept besides", () => {
  const lineage = lineageOf(4, 3, 2, 1);
  lineage[3] = { id: "s1", step: 1, metrics: { loss: 9, eval_loss: 0.001 } };
  expect(surplusOf(lineage, rules({ keepRemote: 2, keepBest: 1 }))).toEqual(["s2"]);
});

test("one without a loss is not among the best", () => {
  const lineage = [
    ...lineageOf(4, 3),
    { id: "s2", step: 2, metrics: {} },
    { id: "s1", step: 1, metrics: { loss: Number.NaN } },
  ];
  expect(surplusOf(lineage, rules({ keepRemote: 2, keepBest: 4 }))).toEqual(["s2", "s1"]);
});

test("a damaged one protects nobody: the newest whole ones stay", () => {
  const damaged = new Set(["s4", "s3"]);
  expect(surplusOf(lineageOf(4, 3, 2, 1), rules({ keepRemote: 2 }), damaged)).toEqual(["s3"]);
});

describe("whatever the rules", () => {
  const aLineage = fc
    .uniqueArray(fc.nat({ max: 1000 }), { maxLength: 20 })
    .chain((steps) =>
      fc.tuple(
        fc.constant(steps),
        fc.array(fc.option(fc.double()), { minLength: steps.length, maxLength: steps.length }),
        fc.subarray(steps),
      ),
    )
    .map(([steps, losses, damaged]) => ({
      lineage: steps.map(
        (step, i): Kept => ({ id: `s${step}`, step, metrics: losses[i] == null ? {} : { loss: losses[i] } }),
      ),
      damaged: new Set(damaged.map((step) => `s${step}`)),
    }));
  const aNumber = fc.option(fc.nat({ max: 30 }));
  const someRules = fc.record({ keepRemote: aNumber, keepEvery: aNumber, keepBest: aNumber });

  test("the head and the newest whole one stay, and nothing but the lineage goes", () => {
    fc.assert(
      fc.property(aLineage, someRules, ({ lineage, damaged }, retention) => {
        const surplus = surplusOf(lineage, retention, damaged);
        expect(surplus).not.toContain(lineage[0]?.id);
        expect(surplus).not.toContain(lineage.find(({ id }) => !damaged.has(id))?.id);
        expect(new Set(surplus).size).toBe(surplus.length);
        for (const id of surplus) expect(lineage.map((it) => it.id)).toContain(id);
      }),
    );
  });

  test("keeping more never removes what keeping less would have kept", () => {
    fc.assert(
      fc.property(aLineage, someRules, fc.nat({ max: 10 }), ({ lineage, damaged }, retention, extra) => {
        const less = new Set(surplusOf(lineage, { ...retention, keepRemote: retention.keepRemote ?? 0 }, damaged));
        const more = { ...retention, keepRemote: (retention.keepRemote ?? 0) + extra };
        for (const id of surplusOf(lineage, more, damaged)) expect(less.has(id)).toBe(true);
      }),
    );
  });

  test("applied again it removes nothing more", () => {
    fc.assert(
      fc.property(aLineage, someRules, ({ lineage, damaged }, retention) => {
        const surplus = new Set(surplusOf(lineage, retention, damaged));
        expect(
          surplusOf(
            lineage.filter(({ id }) => !surplus.has(id)),
            retention,
            damaged,
          ),
        ).toEqual([]);
      }),
    );
  });
});
