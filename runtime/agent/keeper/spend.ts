/**
 * What the run has cost: on other machines, and on this one since its first start, at the price that it was rented for.
 * Each machine adds its own share to the sum in the run record, so that one which comes back counts nothing twice and
 * forgets nobody.
 */
import { readFileIfThere } from "../../../common/files.ts";

/** USD per hour as deploy wrote it; null when it is not known (a laptop, an older deploy). */
export function readPrice(path: string): number | null {
  const price = Number.parseFloat(readFileIfThere(path) ?? "");
  return price >= 0 ? price : null;
}

/** USD on this machine; an upper bound, as a stopped machine costs less. Six decimals. */
export function spentHere(pricePerHour: number | null, bornSeconds: number, nowSeconds: number): number {
  if (pricePerHour === null) return 0;
  return Math.round((Math.max(0, nowSeconds - bornSeconds) / 3600) * pricePerHour * 1e6) / 1e6;
}

/** This machine's part in the cost of one generation of a run. USD. */
export interface Share {
  /** What the others have cost. */
  others: number;
  /** What this machine had cost when its part began. */
  from: number;
  /** Its part as far as it is in the run record's sum. */
  counted: number;
}

export interface ShareFacts {
  /** What this disk remembers, of whatever run. */
  known: { runId: string; generation: number; share: Share } | undefined;
  runId: string;
  generation: number;
  /** What this machine has cost since its first start. */
  here: number;
  /** The sum in the run record. */
  recorded: number;
}

/** The share with which a tenure begins. */
export function shareOf({ known, runId, generation, here, recorded }: ShareFacts): Share {
  if (known?.runId === runId && known.generation === generation) {
    return { ...known.share, others: Math.max(0, recorded - known.share.counted) };
  }
  // A machine that worked for something else before is counted from now on.
  return { others: recorded, from: known ? here : 0, counted: 0 };
}

/** Of all machines. Six decimals. */
export function spentByAll({ others, from }: Share, here: number): number {
  return Math.round((others + Math.max(0, here - from)) * 1e6) / 1e6;
}

/** The share once that sum is in the record. */
export function counted(share: Share, here: number): Share {
  return { ...share, counted: Math.max(0, here - share.from) };
}
