/**
 * What the lifecycle needs, put together for the process that runs it: the provider plugin, the CLI, or a test.
 * One client, one list and one set of reserved offers per market and process, so that parallel operations share them.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { waitForSsh } from "../ssh/shell.ts";
import { createApi, isLoopback } from "./api.ts";
import { badMachinesIn } from "./bad-machines.ts";
import { intentsIn } from "./intents.ts";
import type { CrashPoint, Deps } from "./lifecycle.ts";
import type { Market } from "./market.ts";
import { shareList } from "./shared-list.ts";
import type { Contract } from "./wire.ts";

export interface ContextOptions {
  market: Market;
  stateDir: string;
  log: Log;
  signal: AbortSignal;
  /** Whether whoever asked is gone for good (a dead engine). */
  isOrphaned?: () => Promise<boolean>;
  identityFile?: string | null;
  clock?: Clock;
}

const shared = new Map<string, Pick<Deps, "api" | "contracts" | "reserved">>();

export function createDeps(options: ContextOptions): Deps {
  const clock = options.clock ?? systemClock;
  const { market, stateDir, signal } = options;
  const isOrphaned = options.isOrphaned ?? (async () => false);
  return {
    ...sharedFor(market, clock),
    clock,
    log: options.log,
    signal,
    isOrphaned,
    async assertWanted() {
      if (signal.aborted || (await isOrphaned())) {
        throw new UserError("VL_CANCELLED", {
          what: "the operation was cancelled before the rent",
          why: signal.aborted ? "Ctrl-C, or the process was told to end" : "the Pulumi engine is gone",
          hint: "run the command again",
        });
      }
    },
    intents: intentsIn(join(stateDir, "intents")),
    badMachines: badMachinesIn(join(stateDir, "bad-machines.json"), clock),
    firstContact: (contract, deadline) => firstContact(contract, deadline, options, clock),
    point: (name) => pauseAt(name, clock),
    poll: isLoopback(market.url) ? { firstMs: 50, maxMs: 1000 } : { firstMs: 2000, maxMs: 10_000 },
  };
}

function sharedFor(market: Market, clock: Clock): Pick<Deps, "api" | "contracts" | "reserved"> {
  const key = `${market.url}\n${market.key.reveal()}`;
  const known = shared.get(key);
  if (known) return known;
  const api = createApi({ url: market.url, key: market.key, clock });
  const made = { api, contracts: shareList(api), reserved: new Set<number>() };
  shared.set(key, made);
  return made;
}

async function firstContact(
  contract: Contract,
  deadline: number,
  options: ContextOptions,
  clock: Clock,
): Promise<string[]> {
  const target = {
    contractId: contract.id,
    user: contract.sshUser,
    addresses: contract.addresses,
    hostKeys: null,
    identityFile: options.identityFile ?? null,
  };
  const { hostKeys } = await waitForSsh(target, {
    clock,
    signal: options.signal,
    deadline,
    stateDir: options.stateDir,
    log: options.log,
    // An emulated machine has its keys from the first second on; a real one may get them late.
    keyGraceMs: isLoopback(options.market.url) ? 3000 : 90_000,
  });
  return hostKeys;
}

/**
 * Test hook: with VASTLANE_PAUSE_AT=<point> and VASTLANE_PAUSE_FILE=<path>, writes our pid to the file at that point
 * and waits until it is removed, so that a test can kill whom it likes in between.
 */
async function pauseAt(name: CrashPoint, clock: Clock): Promise<void> {
  const file = process.env.VASTLANE_PAUSE_FILE;
  if (!file || process.env.VASTLANE_PAUSE_AT !== name) return;
  const done = `${file}.done`;
  if (existsSync(done)) return; // once per test, not once per visit
  writeFileSync(done, "");
  writeFileSync(file, String(process.pid));
  while (existsSync(file)) await clock.sleep(10);
}
