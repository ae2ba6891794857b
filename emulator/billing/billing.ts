/**
 * What contracts cost, by the second: GPU while it is held in a billed phase, disk as long as the contract
 * exists, nothing while the host is offline, traffic by the byte. Source: vast-api.md 10.
 * Costs gather in the contract (`open`), and become a charge line of the journal and a row of `/charges/` when the
 * price changes, at every hour and at midnight UTC.
 */
import { PHASES } from "../market/contracts.ts";
import { round } from "../market/random.ts";
import type { World } from "../market/world.ts";
import type { ContractRecord, Cost } from "../state/records.ts";

const HOUR = 3600;
const DAY = 86_400;
/** The market's month has 30 days. */
const HOURS_PER_MONTH = 720;
const GIGABYTE = 1e9;

export const noCost = (): Cost => ({
  gpuUsd: 0,
  diskUsd: 0,
  downUsd: 0,
  upUsd: 0,
  gpuHours: 0,
  diskHours: 0,
  downGB: 0,
  upGB: 0,
});

export function usdOf(cost: Cost): number {
  return cost.gpuUsd + cost.diskUsd + cost.downUsd + cost.upUsd;
}

/** US$/h of a disk of `diskGB`. */
export function diskPricePerHour(storageCost: number, diskGB: number): number {
  return (storageCost * diskGB) / HOURS_PER_MONTH;
}

/** US$/h that the contract costs in its present state: what one more hour adds, without traffic. */
export function ratePerHour(contract: ContractRecord): { gpu: number; disk: number } {
  const facts = PHASES[contract.phase];
  if (!facts.exists || contract.offline) return { gpu: 0, disk: 0 };
  return {
    gpu: facts.billsGpu ? contract.gpuPricePerHour : 0,
    disk: diskPricePerHour(contract.storageCost, contract.diskGB),
  };
}

/** Charges the contract up to market time `to`, with the phase that it has now. */
export function billUntil(world: World, contract: ContractRecord, to: number): void {
  while (contract.billedAt < to) {
    const midnight = (Math.floor(contract.billedAt / DAY) + 1) * DAY;
    const until = Math.max(contract.billedAt, Math.min(to, midnight, contract.openSince + HOUR));
    accrue(contract, until - contract.billedAt);
    contract.billedAt = until;
    if (until >= midnight || until >= contract.openSince + HOUR) closeCharge(world, contract);
  }
}

/** Charges bytes that went through the machine since the last call. */
export function billTraffic(contract: ContractRecord, usage: { receivedBytes: number; sentBytes: number }): void {
  const down = delta(usage.receivedBytes, contract.counted.received) / GIGABYTE;
  const up = delta(usage.sentBytes, contract.counted.sent) / GIGABYTE;
  contract.counted = { received: usage.receivedBytes, sent: usage.sentBytes };
  for (const cost of [contract.open, contract.total]) {
    cost.downGB += down;
    cost.downUsd += down * contract.inetDownCost;
    cost.upGB += up;
    cost.upUsd += up * contract.inetUpCost;
  }
}

/** Writes what is open as a charge: journal line and row of its day. Nothing happens when nothing is open. */
export function closeCharge(world: World, contract: ContractRecord): void {
  const { open, openSince, billedAt } = contract;
  contract.openSince = billedAt;
  contract.open = noCost();
  world.contracts.save(contract.id, contract);
  if (usdOf(open) === 0 && open.diskHours === 0) return;
  const day = Math.floor(openSince / DAY) * DAY;
  const key = `${contract.id}/${day}`;
  const charge = world.charges.get(key) ?? {
    contractId: contract.id,
    accountId: contract.accountId,
    day,
    label: contract.label,
    start: openSince,
    end: billedAt,
    cost: noCost(),
    gpuPricePerHour: contract.gpuPricePerHour,
  };
  addCost(charge.cost, open);
  world.charges.save(key, {
    ...charge,
    end: billedAt,
    label: contract.label,
    gpuPricePerHour: contract.gpuPricePerHour,
  });
  const rate = ratePerHour(contract);
  world.note("charge", {
    contractId: contract.id,
    accountId: contract.accountId,
    label: contract.label,
    from: round(openSince, 3),
    to: round(billedAt, 3),
    usd: round(usdOf(open), 8),
    gpuUsd: round(open.gpuUsd, 8),
    diskUsd: round(open.diskUsd, 8),
    trafficUsd: round(open.downUsd + open.upUsd, 8),
    pricePerHour: round(rate.gpu + rate.disk, 6),
  });
}

/** What the account can still spend, US$. Negative when the disks of stopped contracts went on costing. */
export function creditOf(world: World, accountId: number): number {
  let credit = world.accounts.get(accountId)?.deposited ?? 0;
  for (const contract of world.contracts.values()) {
    if (contract.accountId === accountId) credit -= usdOf(contract.total);
  }
  return credit;
}

/** What the account spends per second now, US$. */
export function spendPerSecond(world: World, accountId: number): number {
  let perHour = 0;
  for (const contract of world.contracts.values()) {
    if (contract.accountId !== accountId) continue;
    const rate = ratePerHour(contract);
    perHour += rate.gpu + rate.disk;
  }
  return perHour / HOUR;
}

function accrue(contract: ContractRecord, seconds: number): void {
  if (contract.offline) return;
  const hours = seconds / HOUR;
  const rate = ratePerHour(contract);
  for (const cost of [contract.open, contract.total]) {
    cost.gpuUsd += rate.gpu * hours;
    cost.diskUsd += rate.disk * hours;
    if (PHASES[contract.phase].billsGpu) cost.gpuHours += hours;
    cost.diskHours += hours;
  }
}

function addCost(sum: Cost, more: Cost): void {
  for (const key of Object.keys(sum) as (keyof Cost)[]) sum[key] += more[key];
}

/** A counter that is lower than before began anew with its machine. */
function delta(now: number, before: number): number {
  return now >= before ? now - before : now;
}
