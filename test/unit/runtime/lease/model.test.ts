/** The lease against its model: test/helpers/lease-model.ts says what must hold. */
import { afterEach, describe, expect, test, vi } from "vitest";
import * as lease from "../../../../runtime/lease/index.ts";
import type { Head, Tenure } from "../../../../runtime/lease/types.ts";
import type { ObjectStore } from "../../../../runtime/store/types.ts";
import { type ModelOptions, runModel, type Tally } from "../../../helpers/lease-model.ts";

/** Interleavings, by their seeds; more of them by the environment. */
const RUNS = Number(process.env.VASTLANE_LEASE_MODEL_RUNS ?? 1_000);
const FIRST_SEED = Number(process.env.VASTLANE_LEASE_MODEL_SEED ?? 1);

async function runAll(count: number, options: Omit<ModelOptions, "lease">): Promise<Tally> {
  const sum: Tally = { epochs: 0, takeovers: 0, published: 0, lost: 0, fresh: 0, stale: 0, wrong: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed += 1) {
    const tally = await runModel(seed, { lease, ...options });
    for (const name of Object.keys(sum) as (keyof Tally)[]) sum[name] += tally[name];
  }
  return sum;
}

const patience = (count: number) => 20_000 + count * 20;

test(
  "whatever interleaves, no old writer is loaded or moves the head, and nothing acknowledged is lost",
  async () => {
    const { wrong, ...sum } = await runAll(RUNS, {});
    expect(wrong).toBe(0);
    // These were no quiet times: everything that the rules are about has happened.
    if (RUNS >= 1_000) for (const [name, count] of Object.entries(sum)) expect(count, name).toBeGreaterThan(0);
    expect(sum.takeovers).toBeGreaterThan(RUNS);
  },
  patience(RUNS),
);

/** Other conditions need fewer. */
const SOME = Math.ceil(RUNS / 8);

test(
  "nor where somebody removes lease.json by hand, again and again",
  async () => {
    expect((await runAll(SOME, { removes: ["lease.json"] })).takeovers).toBeGreaterThan(SOME);
  },
  patience(SOME),
);

test(
  "latest.json removed by hand does harm only together with a takeover at that moment or a store's clock set back",
  async () => {
    const { takeovers, wrong } = await runAll(SOME, { removes: ["latest.json"], isCounting: true });
    expect(takeovers).toBeGreaterThan(SOME);
    expect(wrong).toBeLessThan(SOME / 20);
  },
  patience(SOME),
);

test(
  "without conditional writes somebody gets the run all the same, once faults end",
  async () => {
    const sum = await runAll(SOME, { isWeak: true, isCounting: true });
    expect(sum.published).toBeGreaterThan(0);
    // What the weaker rule costs; on a store with conditions this is none at all.
    expect(sum.wrong).toBeGreaterThan(0);
  },
  patience(SOME),
);

describe("the model notices", () => {
  /** Seeds within which each mistake must show. */
  const WITHIN = 600;

  afterEach(() => {
    for (const file of ["head", "lineage", "own-lease"]) vi.doUnmock(`../../../../runtime/lease/${file}.ts`);
    vi.resetModules();
  });

  /** The first violation, with one of the lease's files changed or one of its functions replaced. */
  async function violationOf(mistake: {
    file?: string;
    change?: (real: Record<string, unknown>) => Record<string, unknown>;
    replace?: (real: typeof lease) => Partial<typeof lease>;
    keepsConditions?: boolean;
  }): Promise<string> {
    vi.resetModules();
    const { file, change } = mistake;
    if (file && change) {
      vi.doMock(`../../../../runtime/lease/${file}.ts`, async (real) => {
        const original = await real<Record<string, unknown>>();
        return { ...original, ...change(original) };
      });
    }
    const broken = await import("../../../../runtime/lease/index.ts");
    const model = await import("../../../helpers/lease-model.ts");
    const subject = { ...broken, ...mistake.replace?.(broken) };
    const keepsConditions = mistake.keepsConditions ?? true;
    for (let seed = 1; seed <= WITHIN; seed += 1) {
      try {
        await model.runModel(seed, { lease: subject, keepsConditions });
      } catch (error) {
        return `${(error as Error).message.split("\n")[0]}`;
      }
    }
    return "nothing";
  }

  type Accept = (found: lease.FoundHead) => Promise<Pick<Head, "checkpoint" | "ancestors">>;
  type Fence = (store: ObjectStore, by: Pick<Tenure, "epoch" | "holder">, accept: Accept) => Promise<Head>;

  test("a takeover that does not fence", async () => {
    const found = await violationOf({
      file: "head",
      change: ({ readHead }) => ({
        fenceHead: async (store: ObjectStore, by: Tenure, accept: Accept) => ({
          ...by,
          ...(await accept(await (readHead as typeof lease.readHead)(store))),
        }),
      }),
    });
    expect(found).toMatch(/^seed \d+: (epoch \d+ moved the head after epoch \d+ had taken over|\S+ was acknowledged)/);
  });

  test("a fence that forgets the checkpoint", async () => {
    const found = await violationOf({
      file: "head",
      change: ({ fenceHead }) => ({
        fenceHead: (store: ObjectStore, by: Tenure) =>
          (fenceHead as Fence)(store, by, async () => ({ checkpoint: null, ancestors: [] })),
      }),
    });
    expect(found).toMatch(/was acknowledged and is not in the lineage/);
  });

  test("a fence that passes over a manifest whose writer was killed before it moved the head", async () => {
    const found = await violationOf({
      file: "lineage",
      change: () => ({
        newestHead: async (_: ObjectStore, { head }: lease.FoundHead) => ({
          checkpoint: head?.checkpoint ?? null,
          ancestors: head?.ancestors ?? [],
        }),
      }),
    });
    expect(found).toMatch(/was acknowledged and the lineage has only older ones/);
  });

  test("a head that any epoch can move", async () => {
    const found = await violationOf({
      replace: ({ readHead }) => ({
        async moveHead(store, { epoch, holder }, checkpoint) {
          for (;;) {
            const { head, etag } = await readHead(store);
            const ancestors = head?.checkpoint ? [head.checkpoint, ...head.ancestors] : [];
            const next = { epoch: head?.epoch ?? epoch, holder, checkpoint, ancestors };
            const body = JSON.stringify({ format: 1, ...next, writeId: Math.random() });
            try {
              await store.put("latest.json", body, etag ? { ifMatch: etag } : { ifNoneMatch: "*" });
              return next;
            } catch (error) {
              if ((error as Error).name !== "ConditionFailed") throw error;
            }
          }
        },
      }),
    });
    expect(found).toMatch(/became the head, and was written after its epoch had ended/);
  });

  test("a reader that takes the newest of all that is there", async () => {
    const found = await violationOf({
      replace: ({ listIds }) => ({
        readLineage: async (store) => (await listIds(store)).map(({ id }) => id).reverse(),
      }),
    });
    expect(found).toMatch(/written after its epoch had ended/);
  });

  test("a run record that is written without a look at the epoch", async () => {
    const found = await violationOf({
      replace: ({ changeRunRecord }) => ({
        async changeRunRecord(place, tenure, change) {
          const found = await place.store.get("run.json");
          if (!found) return changeRunRecord(place, tenure, change);
          const next = { ...JSON.parse(`${found.body}`), epoch: tenure.epoch, writeId: Math.random() };
          await place.store.put("run.json", JSON.stringify(next));
          return next;
        },
      }),
    });
    expect(found).toMatch(/wrote the run record after/);
  });

  test("a store that says it keeps conditions and does not", async () => {
    expect(await violationOf({ keepsConditions: false })).toMatch(/^seed \d+: /);
  });
});
