/** Which slots are for rent now, to whom, under which id and from which bid on. */
import type { ContractRecord } from "../state/records.ts";
import type { Machine, Slot } from "./catalogue.ts";
import { PHASES } from "./contracts.ts";
import { round } from "./random.ts";
import { sinceBirth, slotOf, slotRecord, type World } from "./world.ts";

const FIRST_OFFER_ID = 1_000_001;
/** More than there are slots, so that `id -> slot` needs no table. */
const ID_STEP = 1000;

/** A slot as somebody sees it who might rent it. */
export interface Listing {
  slot: Slot;
  offerId: number;
  /** US$/h on demand, without disk. */
  price: number;
  /** The lowest bid that would start now, US$/h. */
  minBid: number;
  /** Seconds until the host takes the machine off. */
  duration: number;
}

/** Everything that `accountId` can rent at market time `t`. */
export function listingsFor(world: World, accountId: number, t: number): Listing[] {
  const holders = holdersBySlot(world);
  const listings: Listing[] = [];
  for (const slot of world.catalogue.slots) {
    const listing = listingOf(world, slot, t, accountId, holders.get(slot.index) ?? null);
    if (listing) listings.push(listing);
  }
  return listings;
}

/** The listing with this id, if it can be had by this account now. */
export function findListing(world: World, offerId: number, accountId: number, t: number): Listing | undefined {
  const slot = slotById(world, offerId);
  if (!slot) return undefined;
  const listing = listingOf(world, slot, t, accountId, holdersBySlot(world).get(slot.index) ?? null);
  return listing?.offerId === offerId ? listing : undefined;
}

/** Whether this id was on offer at some time: the difference between "taken" and "never heard of". */
export function wasListed(world: World, offerId: number, t: number): boolean {
  const slot = slotById(world, offerId);
  return slot !== undefined && offerId >= FIRST_OFFER_ID && offerId <= offerIdOf(world, slot, t);
}

export function offerIdOf(world: World, slot: Slot, t: number): number {
  const times = slotRecord(world, slot.index).relists + world.nature.relists(slot, sinceBirth(world, t));
  return FIRST_OFFER_ID + slot.index + ID_STEP * times;
}

/** The lowest bid that strangers leave room for, US$/h, whoever holds the slot. */
export function strangersBid(world: World, slot: Slot, t: number): number {
  const rival = slotRecord(world, slot.index).rival;
  const byHand = rival && (rival.until === null || rival.until > t) ? rival.price : 0;
  return Math.max(byHand, world.nature.rivalBid(slot, sinceBirth(world, t)));
}

/** Whether a stranger has the slot on demand. */
export function hasRenter(world: World, slot: Slot, t: number): boolean {
  const renter = slotRecord(world, slot.index).renter;
  if (renter && (renter.until === null || renter.until > t)) return true;
  return world.nature.renterUntil(slot, sinceBirth(world, t)) !== undefined;
}

/** The failure of a host, by nature or by hand; undefined while it is well. */
export function hostFailure(world: World, machine: Machine, t: number): { crash: boolean } | undefined {
  const byHand = world.hosts.get(machine.id);
  if (byHand && (byHand.offlineUntil === null || byHand.offlineUntil > t)) return { crash: byHand.crash };
  return world.nature.failure(machine, sinceBirth(world, t));
}

export function machineEnd(world: World, machine: Machine): number {
  return world.market.birth + machine.endsAfter;
}

/** The contract that holds the GPUs of a slot, or null. */
export function holderOf(world: World, slotIndex: number): ContractRecord | null {
  return holdersBySlot(world).get(slotIndex) ?? null;
}

function listingOf(
  world: World,
  slot: Slot,
  t: number,
  accountId: number,
  holder: ContractRecord | null,
): Listing | undefined {
  // Somebody else's interruptible contract can be displaced; one's own is not offered to oneself.
  if (holder && (!holder.isBid || holder.accountId === accountId)) return undefined;
  const duration = machineEnd(world, slot.machine) - t;
  if (duration <= 0 || hasRenter(world, slot, t) || hostFailure(world, slot.machine, t)) return undefined;
  const floor = strangersBid(world, slot, t);
  return {
    slot,
    offerId: offerIdOf(world, slot, t),
    price: world.nature.price(slot, sinceBirth(world, t)),
    minBid: holder ? round(Math.max(floor, holder.gpuPricePerHour * 1.02 + 0.0001), 4) : floor,
    duration,
  };
}

function holdersBySlot(world: World): Map<number, ContractRecord> {
  const holders = new Map<number, ContractRecord>();
  for (const contract of world.contracts.values()) {
    if (PHASES[contract.phase].holdsGpus) holders.set(contract.slot, contract);
  }
  return holders;
}

function slotById(world: World, offerId: number): Slot | undefined {
  const index = (offerId - FIRST_OFFER_ID) % ID_STEP;
  return index >= 0 ? slotOf(world, index) : undefined;
}
