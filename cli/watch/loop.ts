/**
 * The watcher's round: look at every machine, decide, and where something is lost run the program, which repairs it.
 * All it can do itself is look; rent, repair and destroy stay with `up`. Time and world are passed in.
 */
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import type { Situation } from "../../infra/vast/situation.ts";
import { decide, type Verdict } from "./decide.ts";
import { type LeaseSign, pulseOf } from "./pulse.ts";

/** One machine of a stack as the market and the store show it. */
export interface MachineLook {
  name: string;
  /** Undefined: the market's list could not be read. */
  situation: Situation | undefined;
  contractId: number | undefined;
  /** `unread`: the store cannot be read now; `no-store`: there is none. */
  lease: LeaseSign | undefined | "unread" | "no-store";
}

export interface StackLook {
  hasCommand: boolean;
  /** Words for a run that has ended; undefined while it goes on. */
  closed: string | undefined;
  machines: MachineLook[];
}

export interface Watched {
  stack: string;
  /** Undefined: the stack was destroyed, so there is nothing to watch. `fresh`: ask the market again. */
  look(options: { fresh: boolean }): Promise<StackLook | undefined>;
  up(): Promise<void>;
}

/** What happened, for a line of text or of JSON. */
export interface WatchEvent {
  time: string;
  stack: string;
  event: "seen" | "lost" | "recovering" | "recovered" | "failed" | "over";
  machine: string | null;
  contractId: number | null;
  step: number | null;
  text: string;
}

export interface WatchOptions {
  clock: Clock;
  signal: AbortSignal;
  /** Between two looks at the market, ms. */
  everyMs: number;
  /** Between two looks at the store while something looks lost, ms. */
  soonMs: number;
  /** One round, and a second look where the first leaves doubt. */
  once: boolean;
  tell(event: WatchEvent): void;
}

interface Memory {
  looks: Map<string, { situation: Situation; looks: number }>;
  said: Map<string, string>;
  failures: number;
  /** No `up` before this time, ms, after one that failed. */
  restUntil: number;
}

/** Looks at the market that `--once` takes at most, so that a doubt can be settled. */
const LOOKS_ONCE = 3;
const MAX_REST_MS = 5 * 60_000;

/**
 * Watches each stack by itself, so that a slow repair of one does not keep the others waiting. Ends when nothing is
 * left to watch, after the look(s) of `once`, or when told to. False: something is not as it should be.
 */
export async function watchStacks(stacks: readonly Watched[], options: WatchOptions): Promise<boolean> {
  const results = await Promise.all(stacks.map((one) => watchStack(one, options)));
  return results.every((isWell) => isWell);
}

async function watchStack(one: Watched, options: WatchOptions): Promise<boolean> {
  const { clock, signal, once } = options;
  const memory: Memory = { looks: new Map(), said: new Map(), failures: 0, restUntil: 0 };
  let lastMarketLook = Number.NEGATIVE_INFINITY;
  let marketLooks = 0;
  let outcome: Outcome = "fine";
  while (!signal.aborted) {
    const isDue = clock.now() - lastMarketLook >= options.everyMs;
    if (isDue) {
      lastMarketLook = clock.now();
      marketLooks += 1;
    }
    outcome = await visit(one, memory, options, isDue);
    if (outcome === "over") return true;
    if (once && (outcome !== "doubt" || marketLooks >= LOOKS_ONCE)) break;
    const untilMarket = Math.max(0, lastMarketLook + options.everyMs - clock.now());
    const wait = outcome === "doubt" ? Math.min(options.soonMs, untilMarket) : untilMarket;
    await clock.sleep(wait, signal).catch(() => {});
  }
  return outcome === "fine";
}

type Outcome = "fine" | "doubt" | "failed" | "over";

async function visit(one: Watched, memory: Memory, options: WatchOptions, fresh: boolean): Promise<Outcome> {
  const look = await lookSafely(one, memory, options, fresh);
  if (look === "failed") return "doubt";
  if (look === undefined) {
    tellOnce(memory, options, one.stack, undefined, "over", "the stack has been destroyed: nothing to watch");
    return "over";
  }
  const verdicts = look.machines.map((machine) => ({ machine, verdict: judge(machine, look, memory, fresh) }));
  for (const { machine, verdict } of verdicts) {
    const event = verdict.act === "up" || verdict.act === "look" ? "lost" : verdict.act === "over" ? "over" : "seen";
    tellOnce(memory, options, one.stack, machine, event, look.closed ? `${verdict.why} (${look.closed})` : verdict.why);
  }
  if (verdicts.some(({ verdict }) => verdict.act === "up")) return recover(one, memory, options);
  if (verdicts.some(({ verdict }) => verdict.act === "look")) return "doubt";
  return verdicts.every(({ verdict }) => verdict.act === "over") ? "over" : "fine";
}

function judge(machine: MachineLook, { hasCommand, closed }: StackLook, memory: Memory, fresh: boolean): Verdict {
  const { name, situation, contractId, lease } = machine;
  const before = memory.looks.get(name);
  if (situation === undefined) memory.looks.delete(name);
  else if (before?.situation !== situation) memory.looks.set(name, { situation, looks: 1 });
  else if (fresh) memory.looks.set(name, { situation, looks: before.looks + 1 });
  const pulse =
    lease === "no-store"
      ? ("no-store" as const)
      : lease === "unread"
        ? ("unknown" as const)
        : pulseOf(lease, contractId);
  return decide({
    situation,
    looks: memory.looks.get(name)?.looks ?? 0,
    pulse,
    isClosed: closed !== undefined,
    hasCommand,
  });
}

async function recover(one: Watched, memory: Memory, options: WatchOptions): Promise<Outcome> {
  const { clock } = options;
  if (clock.now() < memory.restUntil) return "failed";
  say(options, one.stack, undefined, "recovering", "running the program");
  try {
    await one.up();
    memory.failures = 0;
    memory.looks.clear();
    memory.said.clear();
    say(options, one.stack, undefined, "recovered", "the program has run");
    return "fine";
  } catch (error) {
    if (options.signal.aborted) return "failed";
    if (!(error instanceof UserError)) throw error;
    memory.failures += 1;
    const restMs = Math.min(MAX_REST_MS, options.everyMs * 2 ** (memory.failures - 1));
    memory.restUntil = clock.now() + restMs;
    say(options, one.stack, undefined, "failed", `${error.message}\n  next try in ${Math.round(restMs / 1000)} s`);
    return "failed";
  }
}

async function lookSafely(one: Watched, memory: Memory, options: WatchOptions, fresh: boolean) {
  try {
    return await one.look({ fresh });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    tellOnce(memory, options, one.stack, undefined, "failed", error.message);
    return "failed" as const;
  }
}

/** A line only when it says something new. */
function tellOnce(
  memory: Memory,
  options: WatchOptions,
  stack: string,
  machine: MachineLook | undefined,
  event: WatchEvent["event"],
  text: string,
): void {
  const key = machine?.name ?? "";
  const line = `${event} ${machine?.contractId} ${text}`;
  if (memory.said.get(key) === line) return;
  memory.said.set(key, line);
  say(options, stack, machine, event, text);
}

function say(
  { clock, tell }: WatchOptions,
  stack: string,
  machine: MachineLook | undefined,
  event: WatchEvent["event"],
  text: string,
): void {
  const step = typeof machine?.lease === "object" ? machine.lease.step : null;
  tell({
    time: new Date(clock.now()).toISOString(),
    stack,
    event,
    machine: machine?.name ?? null,
    contractId: machine?.contractId ?? null,
    step,
    text,
  });
}
