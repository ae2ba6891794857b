/**
 * Events that befall contracts: one function, `fire`, moves a contract through the table of contracts.ts and keeps
 * everything that hangs on a phase right: the bill, the offer's id, the machine, the journal.
 */
import { billTraffic, billUntil, closeCharge, ratePerHour } from "../billing/billing.ts";
import type { JournalKind } from "../state/journal.ts";
import type { ContractRecord } from "../state/records.ts";
import { type Event, nextPhase, PHASES, type Phase } from "./contracts.ts";
import { round } from "./random.ts";
import { slotRecord, type World } from "./world.ts";

export interface Cause {
  /** Journal line for the event; none for steps that only we see. */
  kind?: JournalKind;
  /** For the record: why it is stopped. */
  stopCause?: string;
  statusMsg?: string;
  detail?: Record<string, unknown>;
}

/**
 * Applies `event` at market time `t` (the contract is charged up to it first).
 * Returns false, changing nothing, when the event means nothing in the contract's phase.
 */
export function fire(world: World, contract: ContractRecord, event: Event, t: number, cause: Cause = {}): boolean {
  const before = contract.phase;
  const after = nextPhase(before, event);
  if (after === undefined) return false;
  if (after === before) return true;
  billUntil(world, contract, t);
  if (PHASES[before].billsGpu) countTraffic(world, contract);
  closeCharge(world, contract);
  contract.phase = after;
  enter(world, contract, before, after, t);
  if (cause.stopCause !== undefined) contract.stopCause = cause.stopCause;
  if (cause.statusMsg !== undefined) contract.statusMsg = cause.statusMsg;
  if (cause.kind) noteContract(world, contract, cause.kind, cause.detail);
  world.contracts.save(contract.id, contract);
  world.poke(contract.id);
  return true;
}

/** A journal line about a contract, with what identifies it and what it now costs. */
export function noteContract(
  world: World,
  contract: ContractRecord,
  kind: JournalKind,
  detail: Record<string, unknown> = {},
): void {
  const rate = ratePerHour(contract);
  world.note(kind, {
    contractId: contract.id,
    accountId: contract.accountId,
    machineId: contract.machineId,
    offerId: contract.offerId,
    label: contract.label,
    pricePerHour: round(rate.gpu + rate.disk, 6),
    ...detail,
  });
}

/** Charges what went through the machine's network since the last look. */
export function countTraffic(world: World, contract: ContractRecord): void {
  if (world.machines.isRunning(contract.id)) billTraffic(contract, world.machines.usage(contract.id));
}

/** The offer of this slot gets a new id: somebody took it, or it came back. */
export function relist(world: World, slotIndex: number): void {
  const record = slotRecord(world, slotIndex);
  record.relists += 1;
  world.slots.save(slotIndex, record);
}

function enter(world: World, contract: ContractRecord, before: Phase, after: Phase, t: number): void {
  if (PHASES[before].holdsGpus !== PHASES[after].holdsGpus) relist(world, contract.slot);
  switch (after) {
    case "loading":
      contract.power = { generation: contract.power.generation + (before === "requested" ? 0 : 1), wipe: false };
      if (before !== "requested") contract.readyAt = t + world.options.loadingSeconds / 2;
      contract.statusMsg = "Starting container";
      contract.stopCause = null;
      break;
    case "rebooting":
      contract.power = { generation: contract.power.generation + 1, wipe: false };
      contract.readyAt = t;
      break;
    case "recycling":
      contract.power = { generation: contract.power.generation + 1, wipe: true };
      contract.readyAt = t + world.options.loadingSeconds;
      break;
    case "running":
      contract.upAt = t;
      contract.upGeneration = contract.power.generation;
      contract.statusMsg = `success, running ${contract.image.replaceAll(":", "_")}/${contract.runtype.split(" ")[0]}`;
      break;
    case "destroyed":
      contract.destroyedAt = t;
      break;
    default:
      contract.upAt = null;
  }
}
