/**
 * The right to publish, for a program that no agent looks after. A laptop is the only writer of its prefix as long as
 * no machine has ever worked there: epoch 0, no lease. Where one has, its lease is taken for the time of the upload,
 * and refused while it is held.
 */
import { hostname } from "node:os";
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { acquireLease, describeWaiting, holderOf, readHead, readLease } from "../lease/index.ts";
import type { Tenure } from "../lease/types.ts";
import type { ObjectStore } from "../store/types.ts";

export interface LaptopOptions {
  store: ObjectStore;
  runId: string;
  /** Keeps the laptop's name as a holder. */
  holderFile: string;
  clock: Clock;
  log: Log;
}

/** `act` gets the tenure and the lineage's head. @throws UserError VL_LEASE_HELD when a machine works on the run */
export async function withTenure<T>(
  { store, runId, holderFile, clock, log }: LaptopOptions,
  act: (tenure: Tenure, head: string | null) => Promise<T>,
): Promise<T> {
  const [lease, { head }] = await Promise.all([readLease(store), readHead(store)]);
  if (!lease && (head === undefined || head.epoch === 0)) {
    const tenure = { epoch: 0, holder: head?.holder ?? "laptop", assertHeld: async () => {} };
    return act(tenure, head?.checkpoint ?? null);
  }
  const holder = holderOf(holderFile, { contractId: null, hostname: hostname(), pid: process.pid });
  const held = await acquireLease({
    store,
    runId,
    holder,
    clock,
    log,
    onWaiting(waiting) {
      throw new UserError("VL_LEASE_HELD", {
        what: `${store.name} belongs to a run that is on.`,
        why: `${describeWaiting(waiting)}.`,
        hint: "wait until it has ended, or give remotePrefix another value",
      });
    },
  });
  try {
    return await act(held, held.parent);
  } finally {
    await held.release();
  }
}
