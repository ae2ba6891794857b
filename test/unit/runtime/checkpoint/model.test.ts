/** Random histories of one writer: whatever fails, what was acknowledged stays in the lineage, and the newest whole one is loaded. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPruner, KEEP_ALL, publishFolder, restoreNewest } from "../../../../runtime/checkpoint/index.ts";
import { lineage, manifestKey, readLineage } from "../../../../runtime/lease/index.ts";
import { plainFolder } from "../../../helpers/checkpoint-folders.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { tenure } from "../../../helpers/lease.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

type Step =
  | { act: "publish"; step: number; content: string; faultAt: number | null; when: "before" | "after" }
  | { act: "damage"; which: number; how: "flip" | "cut" | "remove" }
  | { act: "prune"; keep: number; faultAt: number | null }
  | { act: "restore" };

const aFault = fc.option(fc.nat({ max: 12 }));
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      act: fc.constant("publish" as const),
      step: fc.integer({ min: 1, max: 6 }),
      content: fc.constantFrom("x", "y"),
      faultAt: aFault,
      when: fc.constantFrom("before" as const, "after" as const),
    }),
  },
  fc.record({
    act: fc.constant("damage" as const),
    which: fc.nat({ max: 5 }),
    how: fc.constantFrom("flip" as const, "cut" as const, "remove" as const),
  }),
  fc.record({ act: fc.constant("prune" as const), keep: fc.nat({ max: 4 }), faultAt: aFault }),
  { weight: 2, arbitrary: fc.record({ act: fc.constant("restore" as const) }) },
);

test("what was acknowledged stays, and the newest whole checkpoint of the lineage is what is loaded", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(aStep, { minLength: 1, maxLength: 14 }), async (history) => {
      const root = mkdtempSync(join(tmpdir(), "vastlane-model-"));
      try {
        await play(history, root);
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
    }),
    { numRuns: 40 },
  );
});

async function play(history: Step[], root: string): Promise<void> {
  const store = memoryStore();
  /** Content by id, of everything that has a manifest. */
  const contents = new Map<string, string>();
  const acknowledged = new Set<string>();
  const damaged = new Set<string>();
  let [calls, failAt, failWhen] = [0, Number.POSITIVE_INFINITY, "before"];
  const fail = (when: string) => {
    if (when === failWhen && calls === failAt) throw new Error("the store went away");
  };
  const shaky = store.view({
    before: () => {
      calls += 1;
      fail("before");
    },
    after: () => fail("after"),
  });
  const arm = (faultAt: number | null, when: string) => {
    [calls, failAt, failWhen] = [0, faultAt ?? Number.POSITIVE_INFINITY, when];
  };

  for (const [index, action] of history.entries()) {
    if (action.act === "publish") {
      const folder = plainFolder(join(root, `local-${index}`), `step-${action.step}`, { a: action.content, b: "same" });
      arm(action.faultAt, action.when);
      const run = { runId: "s/run", experiment: null, contentHash: "" };
      const outgoing = join(root, "outgoing");
      const options = { store: shaky, tenure: tenure(1), clock: fakeClock(), folder, outgoing, run, damaged };
      const published = await publishFolder(options).catch(() => undefined);
      for (const key of store.objects.keys()) {
        const id = /^checkpoints\/([^/]+)\/manifest\.json$/.exec(key)?.[1];
        if (id && !contents.has(id)) contents.set(id, action.content);
      }
      if (published) {
        acknowledged.add(published.id);
        damaged.delete(published.id);
        expect(await readLineage(store)).toContain(published.id);
      }
    } else if (action.act === "damage") {
      const id = [...contents.keys()].at(-1 - action.which);
      const key = `checkpoints/${id}/a`;
      if (id === undefined || !store.objects.has(key)) continue;
      if (action.how === "flip") await store.put(key, contents.get(id) === "x" ? "z" : "w");
      else if (action.how === "cut") await store.put(key, "");
      else await store.delete([key]);
      damaged.add(id);
    } else if (action.act === "prune") {
      const before = await readLineage(store);
      arm(action.faultAt, "before");
      await createPruner(shaky, { ...KEEP_ALL, keepRemote: action.keep })
        .prune(before, damaged)
        .catch(() => []);
      const after = await readLineage(store);
      expect(after[0]).toBe(before[0]);
      const whole = before.find((id) => !damaged.has(id));
      if (whole) expect(after).toContain(whole);
      for (const id of acknowledged) if (!after.includes(id)) acknowledged.delete(id);
      // What was removed may be made again under the same id, with another content.
      for (const id of contents.keys()) if (!store.objects.has(manifestKey(id))) contents.delete(id);
    } else await expectNewestWhole();
    for (const id of acknowledged) expect(await readLineage(store)).toContain(id);
  }
  await expectNewestWhole();

  async function expectNewestWhole(): Promise<void> {
    const ids = await readLineage(store);
    // By what is there: a repair that was cut may have mended one that is still called damaged.
    const wanted = ids.find((id) => store.objects.get(`checkpoints/${id}/a`)?.body.toString() === contents.get(id));
    const dir = mkdtempSync(join(root, "restored-"));
    mkdirSync(dir, { recursive: true });
    const restoring = restoreNewest({ store, lineage: lineage(store), dir, log: () => {} });
    if (ids.length === 0) expect(await restoring).toBeUndefined();
    else if (wanted === undefined) await expect(restoring).rejects.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
    else {
      const restored = await restoring;
      expect(restored?.manifest.id).toBe(wanted);
      expect(readFileSync(join(restored?.folder ?? "", "a"), "utf8")).toBe(contents.get(wanted));
    }
  }
}
