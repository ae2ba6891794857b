/**
 * The dynamic provider's behaviour, loaded by the shims in provider.ts from the project on disk each time: state
 * holds only the shims, so a fix here reaches old resources at once.
 *
 * The plugin process outlives a killed engine and gets no signal on Ctrl-C (tried with 3.259.0). So this module
 * watches the engine's address and the CLI's cancel marker, stops waiting when either says so, ends what was rented
 * for nobody, takes the dead engine's other children with it, and exits.
 */
import { existsSync } from "node:fs";
import { systemClock } from "../../common/clock.ts";
import { answersAt, endOrphans, engineAddress, signalSiblings, watchEngine } from "../engine-process.ts";
import { findProjectRoot, stateFolder } from "../project.ts";
import { bucketHandlers } from "../storage/bucket-handlers.ts";
import { guardHandlers } from "./guard-handlers.ts";
import type { HandlerContext } from "./handler-context.ts";
import { instanceHandlers } from "./instance-handlers.ts";

const root = findProjectRoot(process.cwd());
const engine = engineAddress(process.argv);
const abort = new AbortController();
const inFlight = new Set<Promise<unknown>>();
let orphansEnded: Promise<unknown> | undefined;

const context: HandlerContext = {
  root,
  stateDir: stateFolder(root),
  signal: abort.signal,
  isOrphaned: async () => engine !== undefined && !(await answersAt(engine)),
};

if (engine !== undefined) startWatching(engine);

/**
 * Called by the shims before anything else: loading this module is what starts the watch over the engine. Pulumi's
 * configuration is not read: Pulumi keeps a copy of it in the state, where the account key must never be.
 */
export function configure(): void {}

export const guard = tracked(guardHandlers(context));
export const instance = tracked(instanceHandlers(context));
export const bucket = tracked(bucketHandlers(context));

/** Wraps every handler so that a dying process knows what it must still bring to an end. */
function tracked<T extends Record<string, (...args: never[]) => Promise<unknown>>>(handlers: T): T {
  const wrapped = Object.entries(handlers).map(([name, handler]) => [
    name,
    async (...args: never[]) => {
      // Leftovers of an engine that died before: they could still rent, so nothing starts beside them.
      orphansEnded ??= engine === undefined ? Promise.resolve() : endOrphans(root);
      await orphansEnded;
      const running = handler(...args);
      inFlight.add(running);
      try {
        return await running;
      } catch (error) {
        throw withoutStack(error);
      } finally {
        inFlight.delete(running);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

function startWatching(address: string): void {
  let isEnding = false;
  const end = async () => {
    if (isEnding) return;
    isEnding = true;
    abort.abort(new Error("the Pulumi engine is gone"));
    await Promise.race([Promise.allSettled([...inFlight]), systemClock.sleep(60_000)]);
    signalSiblings(address);
    process.exit(1);
  };
  watchEngine(address, end);
  // Sent by the next operation to the leftovers of a dead engine; a living engine never sends it to us.
  process.on("SIGTERM", end);
  const marker = process.env.VASTLANE_CANCEL_FILE;
  if (marker) {
    const timer = setInterval(() => {
      if (!existsSync(marker)) return;
      clearInterval(timer);
      abort.abort(new Error("cancelled"));
    }, 250);
    timer.unref();
  }
}

/** Pulumi shows an error's stack where there is one; what a person can act on needs none. */
function withoutStack(error: unknown): unknown {
  if (error instanceof Error && error.name === "UserError") error.stack = error.message;
  return error;
}
