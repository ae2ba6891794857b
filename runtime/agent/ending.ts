/**
 * How a machine ends itself: with the key that the market gave it for nothing else, when nobody needs it any more.
 * Whether it is destroyed, stopped (its disk is kept, and bills a little) or left alone is a table: what exists only
 * on its disk is never destroyed here. The shell watchdog of onstart is the hard limit behind it.
 */
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";

/** Why the machine is no longer needed. */
export type Cause = "done" | "failed" | "over-budget" | "idle";

export interface Circumstances {
  cause: Cause;
  hasStore: boolean;
  /** Everything that the run left is in the store. */
  isSaved: boolean;
  /** As configured: a dev box is stopped, a run's machine destroyed. */
  wanted: "destroy" | "stop";
}

export type Ending = "destroy" | "stop" | "stay";

export function decideEnding({ cause, hasStore, isSaved, wanted }: Circumstances): Ending {
  const isElsewhere = hasStore && isSaved;
  // Quiet for long: it ends in any case, and its disk stays where that may hold the only copy of something.
  if (cause === "idle") return isElsewhere ? wanted : "stop";
  // Unsaved: the uploads are tried on until the watchdog's limit. Without a store somebody has to fetch the results.
  return isElsewhere ? wanted : "stay";
}

/** What the market has put into the container's environment. */
export interface SelfAccess {
  url: string;
  contractId: string;
  key: string;
}

/** Undefined on a machine that nobody has rented, as there is nothing to end then. */
export function selfAccess(container: Readonly<Record<string, string | undefined>>): SelfAccess | undefined {
  const { CONTAINER_API_KEY: key, CONTAINER_ID, VAST_CONTAINERLABEL, VAST_URL } = container;
  const contractId = (CONTAINER_ID || VAST_CONTAINERLABEL)?.replace(/^C\./, "");
  if (!key || !contractId || !/^\d+$/.test(contractId)) return undefined;
  return { url: (VAST_URL || "https://console.vast.ai").replace(/\/+$/, ""), contractId, key };
}

export interface EndingWorld {
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  fetch?: typeof fetch;
}

const FIRST_WAIT_MS = 2_000;
const MAX_WAIT_MS = 60_000;

/**
 * Asks the market until it says yes; the machine is dead seconds later, so this is the last act. 404: gone already.
 * Ends without success only with the signal, or when the market refuses the key.
 */
export async function endMachine(ending: "destroy" | "stop", self: SelfAccess, world: EndingWorld): Promise<boolean> {
  const request = world.fetch ?? fetch;
  const url = `${self.url}/api/v0/instances/${self.contractId}/`;
  const call =
    ending === "destroy"
      ? { method: "DELETE" }
      : { method: "PUT", body: JSON.stringify({ state: "stopped" }), headers: { "content-type": "application/json" } };
  for (let waitMs = FIRST_WAIT_MS; !world.signal.aborted; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
    let problem: string;
    try {
      const headers = { ...call.headers, authorization: `Bearer ${self.key}` };
      // A redirect would carry the key to another host.
      const wanted = { ...call, headers, redirect: "error" as const, signal: AbortSignal.timeout(30_000) };
      const answer = await request(url, wanted);
      const text = await answer.text();
      if (answer.status === 404 || (answer.ok && !isRefusal(text))) return true;
      problem = `the market answered ${answer.status} ${text.slice(0, 200)}`.trim();
      if (answer.status === 401 || answer.status === 403) {
        world.log(`cannot ${ending} this machine: ${problem}; the watchdog ends it at its limit`);
        return false;
      }
    } catch (error) {
      problem = messageOf(error);
    }
    world.log(`cannot ${ending} this machine yet: ${problem}; next try in ${waitMs / 1000} s`);
    await world.clock.sleep(waitMs, world.signal).catch(() => {});
  }
  return false;
}

/** Some refusals come with status 200. */
function isRefusal(text: string): boolean {
  try {
    return (JSON.parse(text) as { success?: unknown } | null)?.success === false;
  } catch {
    return false;
  }
}
