import fc from "fast-check";
import { expect, test } from "vitest";
import { decide } from "../../../../emulator/market/bids.ts";
import { PHASES, type Phase } from "../../../../emulator/market/contracts.ts";
import type { ContractRecord } from "../../../../emulator/state/records.ts";

const contract = (id: number, phase: Phase, bid: number | null): ContractRecord =>
  ({ id, phase, isBid: bid !== null, gpuPricePerHour: bid ?? 0.5 }) as ContractRecord;

interface Case {
  contracts: ContractRecord[];
  floor?: number;
  stranger?: boolean;
  winner: number | null;
  losers?: [number, "outbid" | "preempt"][];
}

const cases: Record<string, Case> = {
  "leaves a bid above the floor in place": { contracts: [contract(1, "running", 0.3)], winner: 1 },
  "leaves a bid equal to the floor in place": { contracts: [contract(1, "running", 0.2)], winner: 1 },
  "takes the GPUs from a bid below the floor": {
    contracts: [contract(1, "running", 0.1)],
    winner: null,
    losers: [[1, "outbid"]],
  },
  "takes the GPUs from a bid when a stranger rents on demand": {
    contracts: [contract(1, "running", 9)],
    stranger: true,
    winner: null,
    losers: [[1, "preempt"]],
  },
  "leaves a contract on demand in place whatever strangers do": {
    contracts: [contract(1, "running", null)],
    stranger: true,
    winner: 1,
  },
  "lets a contract on demand displace a higher bid": {
    contracts: [contract(1, "running", 9), contract(2, "requested", null)],
    winner: 2,
    losers: [[1, "preempt"]],
  },
  "lets the higher of two bids win": {
    contracts: [contract(1, "running", 0.3), contract(2, "requested", 0.4)],
    winner: 2,
    losers: [[1, "outbid"]],
  },
  "keeps the holder at an equal bid": {
    contracts: [contract(2, "outbid", 0.3), contract(1, "running", 0.3)],
    winner: 1,
  },
  "wakes a waiting bid that now wins": { contracts: [contract(1, "outbid", 0.3)], winner: 1 },
  "leaves a waiting bid asleep below the floor": { contracts: [contract(1, "outbid", 0.1)], winner: null },
  "serves a queued start on demand before any bid": {
    contracts: [contract(1, "running", 0.9), contract(2, "scheduling", null)],
    winner: 2,
    losers: [[1, "preempt"]],
  },
  "does not wake what its owner stopped": { contracts: [contract(1, "stopped", 0.9)], winner: null },
};

test.each(Object.entries(cases))("%s", (_, { contracts, floor = 0.2, stranger = false, winner, losers = [] }) => {
  const verdict = decide(contracts, floor, stranger);
  expect(verdict.winner?.id ?? null).toBe(winner);
  expect(verdict.losers.map(({ contract: one, why }) => [one.id, why])).toEqual(losers);
});

test("never leaves GPUs with two contracts, and never with a bid below the floor", () => {
  const phases = Object.keys(PHASES).filter((phase) => phase !== "destroyed") as Phase[];
  const bid = fc.option(fc.double({ min: 0.01, max: 1, noNaN: true }), { nil: null });
  const contracts = fc.array(fc.tuple(fc.constantFrom(...phases), bid), { maxLength: 6 });
  fc.assert(
    fc.property(contracts, fc.double({ min: 0.01, max: 1, noNaN: true }), fc.boolean(), (list, floor, stranger) => {
      const all = list.map(([phase, price], id) => contract(id, phase, price));
      const verdict = decide(all, floor, stranger);
      const lost = new Set(verdict.losers.map(({ contract: one }) => one.id));
      const holders = all.filter((one) => one === verdict.winner || (PHASES[one.phase].holdsGpus && !lost.has(one.id)));
      expect(holders.length).toBeLessThanOrEqual(1);
      for (const holder of holders) {
        if (holder.isBid) expect(holder.gpuPricePerHour >= floor && !stranger).toBe(true);
      }
    }),
  );
});
