/** What the lease and the head of the lineage look like in the store, and what their users pass around. */

/** Who holds or held a lease. */
export interface Holder {
  /** Random, kept on the machine's disk: the same machine takes over from itself at once. */
  id: string;
  /** The market's name of the machine; null without a market. */
  contractId: number | null;
  hostname: string;
  pid: number;
}

/** What the holder says about itself at each renewal; for `status`, `watch` and dashboards. */
export interface LeaseHeartbeat {
  /** ISO time by the holder's clock. */
  time: string;
  state: string;
  step: number | null;
  loss: number | null;
  stepsPerSecond: number | null;
  /** Id of the newest checkpoint in the store, and its step. */
  checkpoint: string | null;
  uploadedStep: number | null;
  costUsd: number;
  pricePerHour: number | null;
  restarts: number;
  exitCode: number | null;
  warning: string | null;
  idleSeconds: number | null;
  /** 0..100. */
  gpuUtil: number | null;
}

/** lease.json. */
export interface LeaseRecord {
  format: 1;
  runId: string;
  /** Raised by each takeover; carried by everything that its holder writes. */
  epoch: number;
  holder: Holder;
  /** Random at each write, so that no two writes have the same ETag. */
  writeId: string;
  /** ISO time by the holder's clock. */
  acquiredAt: string;
  ttlSeconds: number;
  released: boolean;
  /** The last epoch that has fenced latest.json: the holder's own, except while it is still taking over; 0: none. */
  fencedEpoch: number;
  /** The checkpoint that was accepted by that fence. */
  parent: string | null;
  heartbeat: LeaseHeartbeat | null;
}

/** latest.json: the head of the lineage, which is the only source of checkpoints to load. */
export interface Head {
  epoch: number;
  /** Of the holder of that epoch. */
  holder: string;
  /** Null before the first checkpoint, and after a fresh start. */
  checkpoint: string | null;
  /** Ids of the lineage before `checkpoint`, newest first, at most `MAX_ANCESTORS`. */
  ancestors: string[];
}

/** What a writer of the run must have in hand; publishing takes it. */
export interface Tenure {
  readonly epoch: number;
  /** `holder.id` of whoever holds it. */
  readonly holder: string;
  /**
   * Returns at once while the last renewal that the store has confirmed is younger than `maxAgeMs` (the lease's ttl
   * unless given), else renews first: after a freeze nothing is written on the strength of an old renewal.
   * @throws LeaseLost; UserError VL_STORE_* when the store cannot say
   */
  assertHeld(maxAgeMs?: number): Promise<void>;
}
