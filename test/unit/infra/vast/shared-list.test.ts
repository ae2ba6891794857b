import { expect, test } from "vitest";
import { shareList } from "../../../../infra/vast/shared-list.ts";
import type { Contract } from "../../../../infra/vast/wire.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";

/** Lists that take a second each; every list says when it was asked for. */
function slowList(fails: number[] = []) {
  const clock = fakeClock();
  let calls = 0;
  let running = 0;
  let mostAtOnce = 0;
  const list = shareList({
    async listContracts() {
      const askedAt = clock.passed();
      const call = calls++;
      mostAtOnce = Math.max(mostAtOnce, ++running);
      await clock.sleep(1000);
      running--;
      if (fails.includes(call)) throw new Error(`list ${call} failed`);
      return [{ id: askedAt } as Contract];
    },
  });
  return { clock, list, calls: () => calls, mostAtOnce: () => mostAtOnce };
}

test("those who ask at the same time share a list", async () => {
  const { list, calls } = slowList();
  const all = await Promise.all([list.fresh(), list.fresh(), list.fresh(), list.fresh()]);
  expect(calls()).toBe(2); // the first asked alone; the others came after its list had begun
  expect(new Set(all.map(([it]) => it?.id))).toEqual(new Set([0, 1000]));
});

test("nobody gets a list that was asked for before the call", async () => {
  const { clock, list } = slowList();
  const waits = [0, 300, 999, 1000, 1500, 2500, 2501];
  await Promise.all(
    waits.map(async (ms) => {
      await clock.sleep(ms);
      const calledAt = clock.passed();
      expect((await list.fresh())[0]?.id).toBeGreaterThanOrEqual(calledAt);
    }),
  );
});

test("ten waiting machines make one call at a time, and at most two for each of their looks", async () => {
  const { list, calls, mostAtOnce } = slowList();
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (let i = 0; i < 3; i++) await list.fresh();
    }),
  );
  expect(mostAtOnce()).toBe(1);
  expect(calls()).toBeLessThanOrEqual(6);
});

test("a list that fails fails for those who share it, and the next one is asked for anew", async () => {
  const { list, calls } = slowList([0]);
  const [first, second] = await Promise.allSettled([list.fresh(), list.fresh()]);
  expect(first).toMatchObject({ status: "rejected", reason: new Error("list 0 failed") });
  expect(second?.status).toBe("fulfilled");
  await list.fresh();
  expect(calls()).toBe(3);
});
