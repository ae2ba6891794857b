/**
 * What the watcher does about one machine of a stack, as a table over what the market says, what the agent's heartbeat
 * in the store says, and what the run record says. Pure.
 *
 * A machine is only given up on two independent signs, so that neither a market that answers oddly nor a store that
 * is down can end a machine that trains: the market must say that it does not run, and the agent must have fallen
 * silent. Where there is no store to ask, the market must say it twice.
 */
import type { Situation } from "../../infra/vast/situation.ts";

/** What the agent's last sign of life was. `unknown`: the store cannot be read now. `none`: no agent ever reported. */
export type Pulse = "alive" | "silent" | "left" | "none" | "unknown" | "no-store";

export interface Seen {
  /** Undefined: the market's list could not be read. */
  situation: Situation | undefined;
  /** How many looks in a row the market has said the same. */
  looks: number;
  pulse: Pulse;
  /** Whether the run record says that the run has ended. */
  isClosed: boolean;
  /** The stack runs a command; a dev box has none. */
  hasCommand: boolean;
}

export type Verdict = {
  /** `up`: run the program. `look`: not sure yet, look again soon. `none`: nothing to do. `over`: nothing to watch for. */
  act: "up" | "look" | "none" | "over";
  why: string;
};

/** The market's words that mean "does not run, and nobody here asked for that". */
const LOST = new Set<Situation>(["gone", "stopped", "outbid", "failed", "offline"]);

export function decide(seen: Seen): Verdict {
  const { situation } = seen;
  if (situation === undefined) return { act: "look", why: "the market cannot be read; nothing is concluded from that" };
  if (seen.isClosed) {
    return situation === "gone"
      ? { act: "over", why: "the run has ended and nothing is rented for it" }
      : { act: "up", why: "the run has ended: its machine is no longer needed" };
  }
  if (!LOST.has(situation)) return pulseOfRunning(seen);
  // It stopped itself (idle, or told to): that was meant. Only a person starts it again.
  if (seen.pulse === "left" && situation === "stopped") {
    return { act: "none", why: "it stopped itself; its disk bills until `up` or `destroy`" };
  }
  return SIGNS[seen.pulse](seen, situation);
}

const SIGNS: Record<Pulse, (seen: Seen, situation: Situation) => Verdict> = {
  alive: (_, situation) => ({ act: "look", why: `the market says ${situation}, but its agent still reports` }),
  silent: (_, situation) => ({ act: "up", why: `the market says ${situation}, and its agent is silent` }),
  left: (_, situation) => ({ act: "up", why: `the market says ${situation}, and its agent has left` }),
  none: twice("no agent has reported from it"),
  unknown: twice("the store cannot be read"),
  "no-store": twice("there is no store to ask"),
};

function twice(aside: string): (seen: Seen, situation: Situation) => Verdict {
  return ({ looks }, situation) =>
    looks >= 2
      ? { act: "up", why: `the market says ${situation}, twice; ${aside}` }
      : { act: "look", why: `the market says ${situation}; ${aside}, so it is asked again` };
}

function pulseOfRunning({ pulse, hasCommand, situation }: Seen): Verdict {
  if (pulse === "silent" && situation === "running") {
    return {
      act: "none",
      why: "it runs by the market's word, but its agent is silent; the machine's own watchdog starts it again, or ends the machine",
    };
  }
  return { act: "none", why: hasCommand ? "it trains" : "it runs" };
}
