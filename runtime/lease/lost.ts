/** The end of a tenure. What its writer does from then on is never used, so it ends its command and itself. */
import { UserError } from "../../common/errors.ts";
import type { Holder } from "./types.ts";

/** Another agent has taken the run over. */
export class LeaseLost extends UserError {
  /** The epoch that was lost. */
  readonly epoch: number;

  constructor(epoch: number, by: { epoch?: number; holder?: Holder | undefined }) {
    const next = by.epoch === undefined ? "a newer vastlane" : `epoch ${by.epoch}`;
    const where = by.holder ? ` on ${describeHolder(by.holder)}` : "";
    super("VL_LEASE_LOST", {
      what: "Another agent has taken this run over.",
      why: `epoch ${epoch} was followed by ${next}${where}`,
      hint: "nothing to do: what was still written here is not used; end one of the two machines if both are meant to go",
    });
    this.name = "LeaseLost";
    this.epoch = epoch;
  }
}

export function describeHolder(holder: Holder): string {
  const contract = holder.contractId === null ? "" : ` (contract ${holder.contractId})`;
  return `${holder.hostname}${contract}, process ${holder.pid}`;
}
