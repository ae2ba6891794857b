/**
 * Holding a lease: renews it every few seconds, one write in flight, and says when it is lost. A store that does not
 * answer is no loss: nobody else can take the lease then either. Time that jumps (SIGSTOP, a laptop's sleep) makes it
 * renew at once; until then `assertHeld` lets nothing be published on the strength of a renewal from before.
 */
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { LeaseLost } from "./lost.ts";
import type { OwnLease } from "./own-lease.ts";
import type { LeaseHeartbeat, Tenure } from "./types.ts";

export interface HoldOptions {
  clock: Clock;
  /** Milliseconds that no clock setting changes; both clocks are asked, as each misses some jumps. */
  monotonicMs?: (() => number) | undefined;
  log: Log;
  renewMs: number;
  heartbeat: () => LeaseHeartbeat | null;
  previousEpoch: number;
  hasConditions: boolean;
  /** Taken just before the lease was written last. */
  confirmedAt: Stamp;
}

export interface Held extends Tenure {
  /** The checkpoint that was accepted at the takeover: where to go on from. */
  readonly parent: string | null;
  /** The last epoch before whose holder could write anything; 0: none. Ours of before: nobody has come between. */
  readonly previousEpoch: number;
  /** False: the store cannot keep two writers apart; the newest epoch wins when it is read. */
  readonly hasConditions: boolean;
  /** Resolves when another agent has taken over; never after `release`. */
  readonly lost: Promise<LeaseLost>;
  /** Aborted at the same moment, with the same `LeaseLost` as its reason. */
  readonly lostSignal: AbortSignal;
  /** Writes a new heartbeat now. @throws LeaseLost; UserError VL_STORE_* */
  renew(): Promise<void>;
  /** Ends renewing and gives the lease back with a last heartbeat, as well as the store lets it. Never fails. */
  release(): Promise<void>;
  /** Ends renewing and leaves the lease to expire. */
  abandon(): void;
}

/** At most so long between two looks at the clock, in ms: a jump is noticed that soon. */
const TICK_MS = 1_000;

/** Begins to renew `own`, which has just been written. */
export function holdLease(own: OwnLease, options: HoldOptions): Held {
  const { clock, log, renewMs, heartbeat, previousEpoch, hasConditions } = options;
  const { epoch, holder, parent, ttlSeconds } = own.record;
  const ttlMs = ttlSeconds * 1000;
  const tickMs = Math.min(TICK_MS, renewMs);
  const life = new AbortController();
  const lostController = new AbortController();
  const { promise: lost, resolve: tellLost } = Promise.withResolvers<LeaseLost>();
  let confirmed = options.confirmedAt;
  let lastTry = options.confirmedAt;
  /** Renewals so far, by number: the last one that has begun, and the last one that the store has confirmed. */
  let begun = 0;
  let confirmedBy = 0;
  let inFlight: Promise<void> | undefined;
  let failures = 0;
  let loss: LeaseLost | undefined;

  void live();
  return {
    epoch,
    holder: holder.id,
    parent,
    previousEpoch,
    hasConditions,
    lost,
    lostSignal: lostController.signal,
    assertHeld,
    renew,
    async release() {
      life.abort();
      if (loss) return;
      try {
        await inFlight?.catch(() => {});
        await own.write({ released: true, heartbeat: heartbeat() });
      } catch (error) {
        log(`the lease could not be given back and will expire: ${messageOf(error)}`);
      }
    },
    abandon: () => life.abort(),
  };

  async function assertHeld(maxAgeMs = ttlMs): Promise<void> {
    if (loss) throw loss;
    if (since(confirmed, options) <= maxAgeMs && maxAgeMs > 0) return;
    // One that is in flight began before we were asked, maybe before a freeze: only a later one counts.
    const asked = begun;
    while (confirmedBy <= asked) await renew();
  }

  function renew(): Promise<void> {
    if (loss) return Promise.reject(loss);
    if (inFlight) return inFlight;
    const attempt = renewOnce().finally(() => {
      if (inFlight === attempt) inFlight = undefined;
    });
    inFlight = attempt;
    return attempt;
  }

  async function renewOnce(): Promise<void> {
    const started = stamp(options);
    begun += 1;
    const number = begun;
    lastTry = started;
    try {
      await own.write({ heartbeat: heartbeat() });
    } catch (error) {
      if (error instanceof LeaseLost) lose(error);
      else {
        if (failures === 0) log(`the lease could not be renewed, work goes on: ${messageOf(error)}`);
        failures += 1;
      }
      throw error;
    }
    if (failures > 0) log(`the lease is renewed again, after ${Math.round(since(confirmed, options) / 1000)} s`);
    failures = 0;
    if (number < confirmedBy) return; // a later one was faster
    confirmedBy = number;
    confirmed = started;
  }

  async function live(): Promise<void> {
    let looked = stamp(options);
    while (!life.signal.aborted) {
      await clock.sleep(tickMs, life.signal).catch(() => {});
      if (life.signal.aborted) return;
      const passedMs = since(looked, options);
      looked = stamp(options);
      const hasJumped = passedMs > ttlMs;
      if (hasJumped) {
        log(`nothing ran here for ${Math.round(passedMs / 1000)} s; renewing the lease before anything else`);
        inFlight = undefined; // a request from before the jump may hang for long
      }
      // Soon again after a first failure, then at the usual pace.
      const isDue = since(lastTry, options) >= (failures > 0 && failures < 4 ? tickMs : renewMs);
      if (!inFlight && (hasJumped || isDue)) renew().catch(() => {});
    }
  }

  function lose(error: LeaseLost): void {
    if (loss) return;
    loss = error;
    life.abort();
    lostController.abort(error);
    tellLost(error);
  }
}

/** A moment by both clocks. */
export interface Stamp {
  wallMs: number;
  steadyMs: number;
}

type Clocks = Pick<HoldOptions, "clock" | "monotonicMs">;

export function stamp({ clock, monotonicMs = () => performance.now() }: Clocks): Stamp {
  return { wallMs: clock.now(), steadyMs: monotonicMs() };
}

/** Milliseconds by the clock that says more; one that was set back counts as a jump as well. */
function since(from: Stamp, clocks: Clocks): number {
  const now = stamp(clocks);
  return Math.max(Math.abs(now.wallMs - from.wallMs), now.steadyMs - from.steadyMs);
}
