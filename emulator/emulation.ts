/**
 * Puts the parts together: a market in a store, its clockwork, the machines' driver and the API in front.
 * The daemon runs one on real time and real machines; tests run one on a clock of theirs, in their own process.
 */

import type { RequestListener } from "node:http";
import type { Clock } from "../common/clock.ts";
import { Bug } from "../common/errors.ts";
import type { Log } from "../common/log.ts";
import { createRateLimiter } from "./api/rate-limit.ts";
import { createApi } from "./api/server.ts";
import { closeCharge } from "./billing/billing.ts";
import type { Faults } from "./faults/faults.ts";
import type { MachineHost } from "./machine/types.ts";
import { PHASES } from "./market/contracts.ts";
import { countTraffic, fire } from "./market/lifecycle.ts";
import { createPowering, type Powering } from "./market/powering.ts";
import { nextDue, settle } from "./market/settle.ts";
import { openWorld, type World, type WorldOptions } from "./market/world.ts";
import type { Store } from "./state/store.ts";

export interface EmulationSetup {
  options: WorldOptions;
  hasRateLimits: boolean;
  store: Store;
  /** Real time; the market's own clock is made from it. */
  clock: Clock;
  /** Stands in until `useMachines` brings the real host, which needs the API first. */
  machines: MachineHost;
  log: Log;
  onFatal(error: unknown): never;
  /** Called after the answer to `/_emulator/stop`. */
  onStop(): void;
}

export interface Emulation {
  world: World;
  powering: Powering;
  /** The key of the market's first account, which also opens `/_emulator/`. */
  adminKey: string;
  /** The store's faults lie with the market's. */
  storeFaults: Pick<Faults, "take" | "active">;
  /** The API; `/_emulator/` only for the loopback listener. */
  listener(options: { isAdmin: boolean }): RequestListener;
  /** Takes over what runs on `machines`, and drives them from now on. */
  useMachines(machines: MachineHost): Promise<void>;
  /** Begins to look at the market whenever something is due. */
  startTicking(): void;
  /** No more ticks and no more changes of machines; resolves when those under way are done. */
  quiesce(): Promise<void>;
}

/** At most this long between two looks at the market, real time: the market's time is saved as often. */
const MAX_TICK_MS = 1000;

export function openEmulation(setup: EmulationSetup): Emulation {
  const world = openWorld(setup);
  const powering = createPowering(world);
  world.follow = powering.poke;
  const limiter = setup.hasRateLimits ? createRateLimiter(setup.clock) : null;
  const adminKey = firstKey(world);
  let timer: NodeJS.Timeout | undefined;
  let isTicking = false;

  function tick(): void {
    settle(world);
    for (const contract of world.contracts.values()) {
      if (PHASES[contract.phase].billsGpu) countTraffic(world, contract);
    }
    world.commit();
    plan();
  }

  function plan(): void {
    if (!isTicking) return;
    clearTimeout(timer);
    const dueMs = world.clock.realMsUntil(nextDue(world));
    timer = setTimeout(tick, Math.min(MAX_TICK_MS, Math.max(1, dueMs)));
  }

  return {
    world,
    powering,
    adminKey,
    storeFaults: {
      take(kind, suits) {
        const found = world.faults.take(kind, suits);
        if (found) world.commit();
        return found;
      },
      active: world.faults.active,
    },
    listener: ({ isAdmin }) =>
      createApi({
        world,
        limiter,
        adminKey: isAdmin ? adminKey : null,
        sleep: (ms) => setup.clock.sleep(ms),
        onChange: plan,
        onStop: setup.onStop,
      }),
    async useMachines(machines) {
      world.machines = machines;
      await machines.recover(powering.wanted());
      machines.onExit((id) => noteExit(world, id));
      powering.adopt();
    },
    startTicking() {
      isTicking = true;
      plan();
    },
    async quiesce() {
      isTicking = false;
      clearTimeout(timer);
      settle(world);
      for (const contract of world.contracts.values()) {
        if (contract.destroyedAt !== null) continue;
        countTraffic(world, contract);
        closeCharge(world, contract);
      }
      world.commit();
      world.follow = () => {};
      await powering.idle();
    },
  };
}

function noteExit(world: World, contractId: number): void {
  const contract = world.contracts.get(contractId);
  if (!contract) return;
  const cause = { kind: "exit", stopCause: "exit", statusMsg: "container exited" } as const;
  fire(world, contract, "process-ended", settle(world), cause);
  world.commit();
}

function firstKey(world: World): string {
  const [account] = world.accounts.values();
  const key = world.keys.values().find((one) => one.accountId === account?.id && one.contractId === null);
  if (!key) throw new Bug("a market without a key");
  return key.key;
}
