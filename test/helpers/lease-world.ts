/**
 * A small world in which everything that may interleave does so by a seed: each request to the store stands still on
 * its way there and each reply on its way back, until the world lets it go on, drops it or lets time pass. Processes
 * can be frozen (their requests still arrive) and killed (theirs too), and their clocks say what they like.
 */
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../common/clock.ts";
import type { ObjectStore } from "../../runtime/store/types.ts";
import { type MemoryStore, memoryStore, type StoreCall, storeDown } from "./memory-store.ts";
import type { Seeded } from "./seeded.ts";

/** One life of an agent, from its start to its end or death. */
export interface Process {
  readonly name: string;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly store: ObjectStore;
}

interface Life extends Process {
  isFrozen: boolean;
  isDead: boolean;
  /** Asleep like a laptop: its steady clock stands still meanwhile. */
  isAsleep: boolean;
  frozenAt: number;
  skewMs: number;
  missedMs: number;
}

interface Gate {
  life: Life;
  call: StoreCall;
  way: "request" | "reply";
  /** On a slow way: others overtake it. */
  isSlow: boolean;
  pass(): void;
  fail(error: Error): void;
}

interface Sleeper {
  life: Life;
  at: number;
  wake(): void;
}

export interface WorldOptions {
  random: Seeded;
  /** Whether the store keeps its conditions, and whether it says that it does. */
  keepsConditions?: boolean;
  saysConditions?: boolean;
  /** Objects that somebody removes by hand now and then. */
  removes?: readonly string[];
}

/** How often things happen, against each other. */
const WEIGHTS = {
  request: 4,
  reply: 4,
  slow: 0.08,
  time: 1.2,
  drift: 0.5,
  freeze: 0.15,
  thaw: 0.12,
  remove: 0.05,
  kill: 0.06,
  skew: 0.05,
};
/** Of requests and replies that go on. */
const LOST = 0.05;
const SLOW = 0.06;

export interface World {
  readonly memory: MemoryStore;
  readonly trace: string[];
  now(): number;
  start(name: string): Process;
  /** Marks the process as gone; nothing of it goes on but requests that are on their way. */
  end(process: Process): void;
  /** Lets one thing happen. With faults: anything; without: what brings everybody on. False: nothing can. */
  step(withFaults: boolean): Promise<boolean>;
  thawAll(): void;
  isAlive(process: Process): boolean;
}

export function createWorld(options: WorldOptions): World {
  const { random, keepsConditions = true, saysConditions = true, removes = [] } = options;
  const startMs = Date.UTC(2026, 0, 1);
  let now = startMs;
  let storeSkewMs = random.below(2_000_000) - 1_000_000;
  let gates: Gate[] = [];
  let sleepers: Sleeper[] = [];
  const lives: Life[] = [];
  const trace: string[] = [];
  const note = (line: string) => trace.push(`${((now - startMs) / 1000).toFixed(1)} ${line}`);

  const storeClock: Clock = { now: () => now + storeSkewMs, sleep: () => Promise.reject(new Error("not for stores")) };
  const memory = memoryStore({ clock: storeClock, conditions: keepsConditions });
  const living = () => lives.filter((life) => !life.isDead);
  const canRun = (life: Life) => !life.isDead && !life.isFrozen;

  function start(name: string): Process {
    const steady = () => now - life.missedMs - (life.isFrozen && life.isAsleep ? now - life.frozenAt : 0);
    const stand = (call: StoreCall, way: Gate["way"]) =>
      call.op === "hasConditions"
        ? undefined
        : new Promise<void>((pass, fail) => {
            // The dead get no replies; what they had sent arrives all the same.
            if (!life.isDead) gates.push({ life, call, way, isSlow: random.chance(SLOW), pass, fail });
          });
    const view = memory.view({ before: (call) => stand(call, "request"), after: (call) => stand(call, "reply") });
    const life: Life = {
      name,
      isFrozen: false,
      isDead: false,
      isAsleep: false,
      frozenAt: 0,
      missedMs: 0,
      skewMs: random.below(100_000_000) - 50_000_000,
      clock: {
        now: () => now + life.skewMs,
        sleep: (ms, signal) =>
          new Promise((wake, reject) => {
            if (signal?.aborted) return reject(signal.reason);
            const sleeper: Sleeper = { life, at: now + ms, wake };
            sleepers.push(sleeper);
            signal?.addEventListener("abort", () => {
              sleepers = sleepers.filter((it) => it !== sleeper);
              reject(signal.reason);
            });
          }),
      },
      monotonicMs: steady,
      store: { ...view, hasConditions: async () => saysConditions },
    };
    lives.push(life);
    note(`${name} starts`);
    return life;
  }

  function end(process: Process): void {
    const life = process as Life;
    life.isDead = true;
    sleepers = sleepers.filter((it) => it.life !== life);
    gates = gates.filter((gate) => gate.life !== life || gate.way === "request");
  }

  function pass(gate: Gate, canLose: boolean): void {
    gates = gates.filter((it) => it !== gate);
    const isLost = canLose && random.chance(LOST);
    note(`${gate.life.name} ${gate.call.op} ${gate.call.key} ${gate.way}${isLost ? " LOST" : ""}`);
    if (isLost) gate.fail(storeDown());
    else gate.pass();
  }

  function freeze(life: Life): void {
    life.isFrozen = true;
    life.isAsleep = random.chance(0.3);
    life.frozenAt = now;
    // What it was just sending may be half sent, and arrive only when it goes on, or when it is long gone.
    if (random.chance(0.5)) for (const gate of gates) if (gate.life === life) gate.isSlow = true;
    note(`${life.name} ${life.isAsleep ? "falls asleep" : "is frozen"}`);
  }

  function thaw(life: Life): void {
    life.isFrozen = false;
    const passedMs = now - life.frozenAt;
    note(`${life.name} goes on after ${passedMs / 1000} s`);
    if (!life.isAsleep) return;
    life.missedMs += passedMs;
    for (const sleeper of sleepers) if (sleeper.life === life) sleeper.at += passedMs;
  }

  function nextSleeper(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of sleepers) {
      if (canRun(sleeper.life) && (!next || sleeper.at < next.at)) next = sleeper;
    }
    return next;
  }

  function wake(sleeper: Sleeper): void {
    sleepers = sleepers.filter((it) => it !== sleeper);
    now = Math.max(now, sleeper.at);
    sleeper.wake();
  }

  function pick<T>(from: readonly T[]): T {
    return from[random.below(from.length)] as T;
  }

  /** Everything that could happen now, with its weight. */
  function choices(): { weight: number; act: () => void }[] {
    const requests = gates.filter(({ way, isSlow }) => way === "request" && !isSlow);
    const replies = gates.filter(({ way, life, isSlow }) => way === "reply" && !isSlow && canRun(life));
    const slow = gates.filter(({ way, life, isSlow }) => isSlow && (way === "request" || canRun(life)));
    const running = lives.filter(canRun);
    const publishing = running.filter((it) =>
      gates.some(({ life, call }) => it === life && call.op === "put" && call.key !== "lease.json"),
    );
    const frozen = living().filter(({ isFrozen }) => isFrozen);
    const sleeper = nextSleeper();
    const found: { weight: number; act: () => void }[] = [];
    const add = (isPossible: unknown, weight: number, act: () => void) => {
      if (isPossible) found.push({ weight, act });
    };
    add(requests.length, WEIGHTS.request * requests.length, () => pass(pick(requests), true));
    add(replies.length, WEIGHTS.reply * replies.length, () => pass(pick(replies), true));
    add(slow.length, WEIGHTS.slow * slow.length, () => pass(pick(slow), true));
    add(sleeper, WEIGHTS.time, () => wake(sleeper as Sleeper));
    add(true, WEIGHTS.drift, () => {
      now += random.below(8_000);
    });
    add(running.length, WEIGHTS.freeze, () => freeze(pick(running)));
    add(publishing.length, WEIGHTS.freeze, () => freeze(pick(publishing)));
    add(frozen.length, WEIGHTS.thaw * frozen.length, () => thaw(pick(frozen)));
    add(removes.length, WEIGHTS.remove, () => {
      const key = pick(removes);
      note(`somebody removes ${key}`);
      memory.objects.delete(key);
    });
    add(running.length, WEIGHTS.kill, () => {
      const life = pick(running);
      note(`${life.name} is killed`);
      end(life);
    });
    add(running.length, WEIGHTS.skew, () => {
      const isStore = random.chance(0.3);
      const byMs = random.below(60_000) - 20_000;
      note(`${isStore ? "the store's clock" : "a clock"} jumps by ${byMs / 1000} s`);
      if (isStore) storeSkewMs += byMs;
      else pick(running).skewMs += byMs;
    });
    return found;
  }

  return {
    memory,
    trace,
    now: () => now,
    start,
    end,
    isAlive: (process) => !(process as Life).isDead,
    thawAll() {
      for (const life of living()) if (life.isFrozen) thaw(life);
    },
    async step(withFaults) {
      if (withFaults) {
        const possible = choices();
        let at = random.number() * possible.reduce((sum, { weight }) => sum + weight, 0);
        const chosen = possible.find(({ weight }) => {
          at -= weight;
          return at < 0;
        });
        chosen?.act();
      } else {
        const gate = gates[0];
        const sleeper = nextSleeper();
        if (gate) pass(gate, false);
        else if (sleeper) wake(sleeper);
        else return false;
      }
      await setImmediate(); // everybody runs until they all wait for the world again
      return true;
    },
  };
}
