/**
 * The agent's last sign of life, from the lease in the store. Its age is measured by the store's own clock on both
 * sides, so that no computer's clock matters. Pure.
 */
import type { Pulse } from "./decide.ts";

/** What the watcher reads of `lease.json`. */
export interface LeaseSign {
  /** Seconds since it was written, by the store's clock. */
  ageSeconds: number;
  /** Given back by an agent that ended in order. */
  isReleased: boolean;
  contractId: number | null;
  step: number | null;
  /** What the agent says of itself, such as `running`. */
  state: string | null;
}

/** Two renewals that did not come, and the second by which the store's times are rounded. */
const SILENT_SECONDS = 11;

/** `contractId`: the machine that is asked about; undefined when the market no longer has it. */
export function pulseOf(lease: LeaseSign | undefined, contractId: number | undefined): Pulse {
  if (!lease) return "none";
  // The lease of an earlier machine says nothing about this one.
  if (contractId !== undefined && lease.contractId !== null && lease.contractId !== contractId) return "none";
  if (lease.isReleased) return "left";
  return lease.ageSeconds > SILENT_SECONDS ? "silent" : "alive";
}
