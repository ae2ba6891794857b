/**
 * What a contract's many status fields mean, decided in one place.
 * The market has no field that says "outbid", and `cur_state` alone is also "stopped" during a first image pull;
 * unlisted statuses count as pending, never as failed (API reference 4.4 and peers' bug reports).
 */
import type { Contract } from "./wire.ts";

export type Situation =
  | "gone" // not in a complete list of the account's contracts
  | "pending" // rented; image is loading or the host has not reported yet
  | "running"
  | "stopped" // halted, by a person or by the market's system; the disk bills
  | "outbid" // halted and only bids lose: somebody bids more, or rented on demand
  | "failed" // the container cannot start or has ended by itself
  | "offline"; // the host does not answer

/** `actual_status` values that say more than "wait". */
const BY_ACTUAL: Record<string, Situation> = {
  running: "running",
  exited: "failed",
  stopped: "failed",
  frozen: "stopped",
  offline: "offline",
  unknown: "offline",
};

const HALTED_STATUS = new Set(["exited", "stopped"]);

export function situationOf(contract: Contract | undefined): Situation {
  if (!contract) return "gone";
  if (isHalted(contract)) {
    if (contract.actualStatus === "created" && contract.statusMessage !== "") return "failed";
    return isLosingBid(contract) ? "outbid" : "stopped";
  }
  if (contract.actualStatus === "created" && /error|failed/i.test(contract.statusMessage)) return "failed";
  // A start that waits for its GPUs still shows the old status.
  if (contract.curState === "stopped" && HALTED_STATUS.has(contract.actualStatus ?? "")) return "pending";
  return BY_ACTUAL[contract.actualStatus ?? ""] ?? "pending";
}

/** `actual_status` values under which the GPUs bill (API reference 4.4): also frozen, and while it is rebooted. */
const ON_GPU = new Set(["running", "frozen", "rebooting", "recycling", "restarting"]);

/** Whether the GPUs bill now, not only the disk; where the market does not say clearly, they do. */
export function billsGpu(contract: Contract): boolean {
  const status = contract.actualStatus ?? "";
  if (ON_GPU.has(status)) return true;
  // Ended by itself: the GPUs stay allocated until it is stopped or destroyed.
  return HALTED_STATUS.has(status) && !isHalted(contract) && contract.curState === "running";
}

/** In words, for status lines; `stopped` and `outbid` say that the disk still bills. */
export function describeSituation(situation: Situation): string {
  return {
    gone: "gone",
    pending: "loading",
    running: "running",
    stopped: "stopped (its disk bills)",
    outbid: "outbid (its disk bills)",
    failed: "failed",
    offline: "host offline",
  }[situation];
}

function isHalted(contract: Contract): boolean {
  return contract.intendedStatus === "stopped";
}

function isLosingBid(contract: Contract): boolean {
  return contract.isBid && contract.minBidPerHour !== null && contract.minBidPerHour > contract.gpuPricePerHour;
}
