/**
 * What the rest of the world does: prices, rival bids, other renters, failures of hosts.
 * Everything here is a pure function of seed, slot and seconds since the market's birth, so that a market with
 * the same seed has the same history whenever and however often it is asked.
 * Windows (a renter's stay, a failure) lie within epochs: at most one each, begun and ended inside its epoch.
 */
import type { Machine, Slot } from "./catalogue.ts";
import { between, hash, noise, round } from "./random.ts";

/** Bids and hosts change at multiples of this many seconds since birth. */
export const STEP_SECONDS = 60;

export interface Nature {
  /** Price on demand in US$/h for the slot, without disk. Changes by the hour. */
  price(slot: Slot, t: number): number;
  /** Highest rival bid in US$/h for the slot. */
  rivalBid(slot: Slot, t: number): number;
  /** End of the stay of a stranger who rents the slot on demand at `t`; undefined when there is none. */
  renterUntil(slot: Slot, t: number): number | undefined;
  /** Never falls; rises when a stranger's stay ends: the host lists the slot anew. */
  relists(slot: Slot, t: number): number;
  /** The failure of the host at `t`; `crash`: machines lose their processes. */
  failure(machine: Machine, t: number): { until: number; crash: boolean } | undefined;
}

const HOUR = 3600;
const RENTER_EPOCH = 8 * HOUR;
const FAILURE_EPOCH = 24 * HOUR;
/** Nothing happens in a market's first minutes, so that somebody who just looks sees it in order. */
const QUIET_SECONDS = 900;

export function createNature(seed: number): Nature {
  return {
    price(slot, t) {
      const hour = Math.floor(t / HOUR) * HOUR;
      return round(slot.basePrice * (1 + 0.06 * noise(seed, "ask", slot.index, hour, 40 * HOUR)), 4);
    },
    rivalBid(slot, t) {
      const step = Math.floor(t / STEP_SECONDS) * STEP_SECONDS;
      const swing =
        0.22 * noise(seed, "bid", slot.index, step, 9 * HOUR) +
        0.12 * noise(seed, "bid-fast", slot.index, step, 1.5 * HOUR) +
        0.05 * noise(seed, "bid-faster", slot.index, step, 900);
      return round(slot.basePrice * Math.min(0.95, slot.bidShare * (1 + swing)), 4);
    },
    renterUntil: (slot, t) => {
      const stay = renterStay(seed, slot, Math.floor(t / RENTER_EPOCH));
      return stay && t >= stay.from && t < stay.to ? stay.to : undefined;
    },
    relists(slot, t) {
      const epoch = Math.floor(t / RENTER_EPOCH);
      const current = renterStay(seed, slot, epoch);
      if (current && t >= current.to) return epoch + 1;
      for (let past = epoch - 1; past >= 0; past -= 1) if (renterStay(seed, slot, past)) return past + 1;
      return 0;
    },
    failure(machine, t) {
      const epoch = Math.floor(t / FAILURE_EPOCH);
      const random = (what: string) => hash(seed, what, machine.id, epoch);
      if (random("fails") >= Math.min(0.5, (1 - machine.reliability) * 3)) return undefined;
      const from = epoch * FAILURE_EPOCH + between(QUIET_SECONDS, FAILURE_EPOCH - HOUR, random("fails-at"));
      const until = from + between(180, 2400, random("fails-for"));
      return t >= from && t < until ? { until, crash: random("fails-how") < 0.5 } : undefined;
    },
  };
}

/** A market in which nothing ever happens by itself: all prices as at birth. For tests and demonstrations. */
export function createCalmNature(seed: number): Nature {
  const nature = createNature(seed);
  return {
    price: (slot) => nature.price(slot, 0),
    rivalBid: (slot) => nature.rivalBid(slot, 0),
    renterUntil: () => undefined,
    relists: () => 0,
    failure: () => undefined,
  };
}

function renterStay(seed: number, slot: Slot, epoch: number): { from: number; to: number } | undefined {
  if (hash(seed, "renter", slot.index, epoch) >= 0.07) return undefined;
  const from = epoch * RENTER_EPOCH + between(QUIET_SECONDS, 4 * HOUR, hash(seed, "renter-at", slot.index, epoch));
  return { from, to: from + between(0.5 * HOUR, 3.5 * HOUR, hash(seed, "renter-for", slot.index, epoch)) };
}
