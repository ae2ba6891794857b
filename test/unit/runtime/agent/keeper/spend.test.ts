import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import {
  counted,
  readPrice,
  type Share,
  shareOf,
  spentByAll,
  spentHere,
} from "../../../../../runtime/agent/keeper/spend.ts";

test("a price is read as deploy wrote it, and anything else is unknown", () => {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-price-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "price");
  expect(readPrice(path)).toBeNull();
  for (const [text, price] of [
    ["0.36\n", 0.36],
    ["0", 0],
    ["cheap", null],
    ["-1", null],
  ] as const) {
    writeFileSync(path, text);
    expect(readPrice(path)).toBe(price);
  }
});

test("a machine's cost is its hours at its price; a clock before its birth makes it nothing", () => {
  expect(spentHere(0.36, 1000, 1000 + 7200)).toBe(0.72);
  expect(spentHere(null, 1000, 5000)).toBe(0);
  expect(spentHere(0.36, 5000, 1000)).toBe(0);
});

test("whoever has the run, its record is the sum of what each machine last knew of itself", () => {
  const turn = fc.record({ machine: fc.nat(2), cents: fc.array(fc.nat(500), { maxLength: 4 }), lost: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 15 }), (turns) => {
      const [here, known] = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      const shares: (Share | undefined)[] = [];
      let recorded = 0;
      for (const { machine, cents, lost } of turns) {
        const at = () => here[machine] ?? 0;
        const memory = shares[machine] && { runId: "s/run", generation: 0, share: shares[machine] };
        let share = shareOf({ known: memory, runId: "s/run", generation: 0, here: at(), recorded });
        for (const cost of [0, ...cents]) {
          here[machine] = at() + cost / 100;
          recorded = spentByAll(share, at());
          share = counted(share, at());
          shares[machine] = share;
          known[machine] = at();
        }
        here[machine] = at() + lost / 100; // killed before it was written down
        expect(recorded).toBeCloseTo(
          known.reduce((sum, usd) => sum + usd, 0),
          4,
        );
      }
    }),
  );
});

test("a machine that comes back forgets neither the others' cost nor counts its own twice", () => {
  const first = counted(shareOf({ known: undefined, runId: "s/run", generation: 0, here: 0, recorded: 0 }), 1);
  const afterFirst = spentByAll(first, 1); // 1 USD on the first
  const second = shareOf({ known: undefined, runId: "s/run", generation: 0, here: 0, recorded: afterFirst });
  const afterSecond = spentByAll(second, 2); // and 2 on the second
  const known = { runId: "s/run", generation: 0, share: first };
  const again = shareOf({ known, runId: "s/run", generation: 0, here: 1.5, recorded: afterSecond });
  expect(spentByAll(again, 1.75)).toBe(3.75);
});

test("a fresh start on the same machine begins at nothing", () => {
  const known = { runId: "s/run", generation: 0, share: { others: 4, from: 0, counted: 2 } };
  const share = shareOf({ known, runId: "s/run", generation: 1, here: 2.5, recorded: 0 });
  expect(spentByAll(share, 3)).toBe(0.5);
});

test("a machine that served another run is counted from its first day with this one", () => {
  const known = { runId: "s/other", generation: 0, share: { others: 4, from: 0, counted: 2 } };
  const share = shareOf({ known, runId: "s/run", generation: 0, here: 2.5, recorded: 1 });
  expect(spentByAll(share, 3)).toBe(1.5);
});
