/**
 * Brings the market up to the present. Everything that time does is done here, in the order of time, however long
 * nobody looked: a clock put forward by a day gives the same history as a day waited out.
 */
import { billUntil, creditOf, spendPerSecond } from "../billing/billing.ts";
import type { ContractRecord } from "../state/records.ts";
import { contest } from "./bids.ts";
import { PHASES } from "./contracts.ts";
import { fire, noteContract } from "./lifecycle.ts";
import { hostFailure } from "./listing.ts";
import { STEP_SECONDS } from "./nature.ts";
import { slotOf, type World } from "./world.ts";

/** The host reports at most this many seconds after the rent. */
const REPORT_SECONDS = 1;

/** Plays everything up to now; returns the market time that it is now. */
export function settle(world: World): number {
  const now = world.clock.now();
  const { market } = world;
  while (market.settledAt < now) {
    const alive = living(world);
    if (alive.length === 0) {
      market.settledAt = now;
      break;
    }
    const t = Math.min(
      now,
      nextStep(world, market.settledAt),
      ...alive.flatMap((one) => dueTimes(world, one)),
      outOfCredit(world, alive),
    );
    for (const contract of alive) billUntil(world, contract, t);
    market.settledAt = t;
    endDebtors(world, alive, t);
    for (const contract of alive) playContract(world, contract, t);
    if (isStep(world, t)) playStep(world, t);
  }
  // Delays of zero are over at the moment at which they begin.
  for (const contract of living(world)) playContract(world, contract, market.settledAt);
  return market.settledAt;
}

/** Market time of the next thing that will happen by itself; infinity when nothing is due. */
export function nextDue(world: World): number {
  const alive = living(world);
  if (alive.length === 0) return Number.POSITIVE_INFINITY;
  return Math.min(
    nextStep(world, world.market.settledAt),
    ...alive.flatMap((one) => dueTimes(world, one)),
    outOfCredit(world, alive),
  );
}

/** Bids, strangers and hosts at one moment: at every step, and at once when somebody changed one of them by hand. */
export function playStep(world: World, t: number): void {
  const alive = living(world);
  for (const contract of alive) playHost(world, contract, t);
  for (const slot of new Set(alive.map((contract) => contract.slot))) contest(world, slot, t);
}

function living(world: World): ContractRecord[] {
  return world.contracts.values().filter((contract) => PHASES[contract.phase].exists);
}

/** Moments after now at which something becomes due for one contract. */
function dueTimes(world: World, contract: ContractRecord): number[] {
  const times = [contract.endDate, reportTime(world, contract), contract.readyAt ?? 0];
  return times.filter((time) => time > world.market.settledAt);
}

function playContract(world: World, contract: ContractRecord, t: number): void {
  if (contract.phase === "requested" && t >= reportTime(world, contract)) fire(world, contract, "report", t);
  if (t >= contract.endDate && PHASES[contract.phase].holdsGpus) {
    fire(world, contract, "halt", t, { kind: "expire", stopCause: "expired", statusMsg: "Rental period is over" });
  }
  if (PHASES[contract.phase].isStarting && contract.readyAt !== null && t >= contract.readyAt) world.poke(contract.id);
}

function reportTime(world: World, contract: ContractRecord): number {
  return contract.createdAt + Math.min(REPORT_SECONDS, world.options.loadingSeconds / 4);
}

function endDebtors(world: World, alive: ContractRecord[], t: number): void {
  for (const accountId of new Set(alive.map((contract) => contract.accountId))) {
    // Rounding leaves a last 1e-12 of a dollar at the moment that was computed for zero.
    if (creditOf(world, accountId) > 1e-9) continue;
    for (const contract of alive) {
      if (contract.accountId !== accountId || !PHASES[contract.phase].holdsGpus) continue;
      fire(world, contract, "halt", t, { kind: "no-credit", stopCause: "credit", statusMsg: "Account lacks credit" });
    }
  }
}

/** When the first account runs dry at the present rates; only accounts whose machines still run. */
function outOfCredit(world: World, alive: ContractRecord[]): number {
  let first = Number.POSITIVE_INFINITY;
  for (const accountId of new Set(alive.filter((one) => PHASES[one.phase].holdsGpus).map((one) => one.accountId))) {
    const rate = spendPerSecond(world, accountId);
    if (rate <= 0) continue;
    const at = world.market.settledAt + Math.max(0, creditOf(world, accountId)) / rate;
    first = Math.min(first, Math.max(at, world.market.settledAt + 1e-3));
  }
  return first;
}

function playHost(world: World, contract: ContractRecord, t: number): void {
  const failure = hostFailure(world, slotOf(world, contract.slot).machine, t);
  if (failure && !contract.offline) {
    billUntil(world, contract, t);
    contract.offline = { crash: failure.crash };
    noteContract(world, contract, "offline", failure);
  } else if (!failure && contract.offline) {
    billUntil(world, contract, t);
    const { crash } = contract.offline;
    contract.offline = null;
    if (crash) fire(world, contract, "reboot", t);
    noteContract(world, contract, "online");
  } else return;
  world.contracts.save(contract.id, contract);
  world.poke(contract.id);
}

function nextStep(world: World, t: number): number {
  const { birth } = world.market;
  return birth + (Math.floor((t - birth) / STEP_SECONDS + 1e-9) + 1) * STEP_SECONDS;
}

function isStep(world: World, t: number): boolean {
  const steps = (t - world.market.birth) / STEP_SECONDS;
  return Math.abs(steps - Math.round(steps)) < 1e-6;
}
