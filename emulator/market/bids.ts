/**
 * Who gets a slot's GPUs: strangers on demand, then our contracts on demand, then the highest bid.
 * `contest` is called at every market step and whenever something about a slot changed (bid, start, destroy).
 */
import { creditOf } from "../billing/billing.ts";
import type { ContractRecord } from "../state/records.ts";
import { nextPhase, PHASES } from "./contracts.ts";
import { fire } from "./lifecycle.ts";
import { hasRenter, hostFailure, machineEnd, strangersBid } from "./listing.ts";
import { slotOf, type World } from "./world.ts";

/** The verdict over one slot; pure. */
export interface Verdict {
  /** Keeps or gets the GPUs; null: a stranger has them, or nobody of ours can. */
  winner: ContractRecord | null;
  /** Contracts that hold the GPUs and must give them up, and why. */
  losers: { contract: ContractRecord; why: "outbid" | "preempt" }[];
}

/**
 * Decides between the contracts of one slot. `floor`: the strangers' highest bid, US$/h. A bid equal to the
 * floor, or to that of the present holder, does not displace anybody and is not displaced.
 */
export function decide(contracts: ContractRecord[], floor: number, strangerHasIt: boolean): Verdict {
  const holding = contracts.filter((contract) => PHASES[contract.phase].holdsGpus);
  const waiting = contracts.filter((contract) => nextPhase(contract.phase, "gpus-free") !== undefined);
  const tenant = holding.find((contract) => !contract.isBid);
  if (tenant) return verdict(tenant, holding, "preempt");
  if (strangerHasIt) return verdict(null, holding, "preempt");
  const next = waiting.find((contract) => !contract.isBid);
  if (next) return verdict(next, holding, "preempt");
  const bids = [...holding, ...waiting].sort((a, b) => b.gpuPricePerHour - a.gpuPricePerHour);
  const best = bids[0];
  // The sort is stable and holders come first, so that an equal bid leaves the holder in place.
  const winner = best && best.gpuPricePerHour >= floor ? best : null;
  return verdict(winner, holding, "outbid");
}

/** Carries the verdict over a slot out at market time `t`. */
export function contest(world: World, slotIndex: number, t: number): void {
  const contracts = world.contracts
    .values()
    .filter((contract) => contract.slot === slotIndex && PHASES[contract.phase].exists);
  if (contracts.length === 0) return;
  const slot = slotOf(world, slotIndex);
  const floor = strangersBid(world, slot, t);
  const eligible = contracts.filter((one) => PHASES[one.phase].holdsGpus || creditOf(world, one.accountId) > 0);
  const { winner, losers } = decide(eligible, floor, hasRenter(world, slot, t));
  for (const { contract, why } of losers) {
    fire(world, contract, "lose", t, {
      kind: why,
      stopCause: why,
      detail: { minBid: floor, bid: contract.gpuPricePerHour },
    });
  }
  const isOpen = machineEnd(world, slot.machine) > t && !hostFailure(world, slot.machine, t);
  if (winner && !PHASES[winner.phase].holdsGpus && isOpen) {
    fire(world, winner, "gpus-free", t, { kind: "resume", detail: { minBid: floor } });
  }
}

/** Whether the contract could have its GPUs if it asked now. */
export function canHaveGpus(world: World, contract: ContractRecord, t: number): boolean {
  const slot = slotOf(world, contract.slot);
  if (hasRenter(world, slot, t)) return false;
  const rivals = world.contracts
    .values()
    .filter((other) => other.id !== contract.id && other.slot === contract.slot && PHASES[other.phase].holdsGpus);
  if (!contract.isBid) return !rivals.some((other) => !other.isBid);
  if (contract.gpuPricePerHour < strangersBid(world, slot, t)) return false;
  return rivals.every((other) => other.isBid && other.gpuPricePerHour < contract.gpuPricePerHour);
}

function verdict(winner: ContractRecord | null, holding: ContractRecord[], why: "outbid" | "preempt"): Verdict {
  return { winner, losers: holding.filter((contract) => contract !== winner).map((contract) => ({ contract, why })) };
}
