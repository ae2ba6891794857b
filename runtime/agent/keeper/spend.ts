/** What the run has cost: before this machine, and on it since its first start, at the price that it was rented for. */
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
