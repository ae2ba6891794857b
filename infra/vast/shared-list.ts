/**
 * One list of contracts for many waiters. The market allows one list call per second and account, so ten machines
 * that wait at once must share it; still each caller gets a list that was asked for after its own call.
 */
import type { MarketApi } from "./api.ts";
import type { Contract } from "./wire.ts";

export interface ContractList {
  /** All contracts of the account, read after this call was made. */
  fresh(): Promise<Contract[]>;
}

export function shareList(api: Pick<MarketApi, "listContracts">): ContractList {
  let running: Promise<Contract[]> | undefined;
  let next: Promise<Contract[]> | undefined;
  const start = (): Promise<Contract[]> => {
    const list = api.listContracts().finally(() => {
      running = undefined;
    });
    running = list;
    return list;
  };
  return {
    fresh() {
      if (next) return next; // it has not begun, so it is younger than this call
      if (!running) return start();
      // The running list may have been answered before this call: queue one more, shared by all who come now.
      next = running
        .catch(() => undefined)
        .then(() => {
          next = undefined;
          return start();
        });
      return next;
    },
  };
}
