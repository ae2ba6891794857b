/**
 * The emulator's process. Opens the home, takes over machines that outlived the last daemon, serves the market on
 * loopback, and reports on file descriptor 3 that it answers, or why it cannot. Log: `daemon.log` in the home.
 */

import { closeSync, mkdirSync, writeSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { systemClock } from "../common/clock.ts";
import { messageOf, UserError } from "../common/errors.ts";
import { identify } from "../common/process.ts";
import { createRateLimiter } from "./api/rate-limit.ts";
import { createApi } from "./api/server.ts";
import { isDaemonAlive, lockHome, readHome, writeHome } from "./home.ts";
import { createMachineHost } from "./machine/index.ts";
import type { MachineHost } from "./machine/types.ts";
import { PHASES } from "./market/contracts.ts";
import { countTraffic, fire } from "./market/lifecycle.ts";
import { createPowering } from "./market/powering.ts";
import { nextDue, settle } from "./market/settle.ts";
import { openWorld, type World } from "./market/world.ts";
import { createNoMachines } from "./no-machines.ts";
import { type DaemonOptions, parseDaemonOptions } from "./options.ts";
import { openStore } from "./state/store.ts";

/** What the parent reads from descriptor 3: one line. */
export type Report =
  | { ok: true }
  | { ok: false; running: boolean; code?: string; what?: string; why?: string; hint?: string };

/** At most this long between two looks at the market, real time. */
const MAX_TICK_MS = 1000;
/** Clients keep connections for longer than Node's 5 s and would meet a closed one. */
const KEEP_ALIVE_MS = 65_000;

let isReported = false;

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

try {
  await run(parseDaemonOptions(process.argv.slice(2)));
} catch (error) {
  fail(error);
}

async function run(options: DaemonOptions): Promise<void> {
  mkdirSync(options.home, { recursive: true, mode: 0o700 });
  const lock = await lockHome(options.home);
  const before = readHome(options.home);
  if (!lock || (before && before.pid !== process.pid && isDaemonAlive(before))) {
    report({ ok: false, running: true });
    process.exit(1);
  }
  if (options.isCleanup) return cleanUp(options);

  const server = createServer();
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const port = await listen(server, options.port ?? portOf(before?.url));
  const store = openStore(options.home);
  const world = openWorld({
    options: { seed: options.seed, speed: options.speed, loadingSeconds: options.loadingSeconds, calm: options.isCalm },
    store,
    clock: systemClock,
    machines: createNoMachines(port), // until the real host is there, which needs the API below
    log,
    onFatal: die,
  });
  const adminKey = firstKey(world);
  const powering = createPowering(world);
  world.poke = powering.poke;
  const ticking = startTicking(world);
  const shared = {
    world,
    limiter: options.hasRateLimits ? createRateLimiter(systemClock) : null,
    sleep: (ms: number) => systemClock.sleep(ms),
    onChange: ticking.plan,
    onStop: () => void stop(),
  };
  if (!options.hasNoMachines) {
    world.machines = await createMachineHost({
      home: options.home,
      apiPort: port,
      binds: options.binds,
      handleRequest: createApi({ ...shared, adminKey: null }),
      ...(options.isPlain ? { plain: true } : {}),
      log,
    });
  }
  await world.machines.recover(powering.wanted());
  world.machines.onExit((id) => noteExit(world, id));
  powering.adopt();
  server.on("request", createApi({ ...shared, adminKey }));
  ticking.plan();

  const { pid, startTicks } = identify(process.pid);
  const [account] = world.accounts.values();
  writeHome({
    url: `http://127.0.0.1:${port}`,
    apiKey: adminKey,
    s3: null,
    pid,
    home: options.home,
    startTicks,
    seed: world.options.seed,
    speed: options.speed,
    accountId: account?.id ?? 0,
  });
  log(`serving ${`http://127.0.0.1:${port}`}, machines: ${world.machines.mode}`);
  report({ ok: true });
  process.on("SIGTERM", () => void stop());
  process.on("SIGINT", () => void stop());

  let isStopping = false;
  /** Ends the machines (their disks stay) and leaves a state that the next start goes on from. */
  async function stop(): Promise<void> {
    if (isStopping) return;
    isStopping = true;
    log("stopping");
    server.close();
    server.closeAllConnections();
    ticking.end();
    settle(world);
    world.poke = () => {};
    await powering.idle();
    await world.machines.close({ endMachines: true });
    world.market.stopped = true;
    world.commit();
    store.close();
    process.exit(0);
  }
}

/** Looks at the market whenever something is due, and saves its time at least every second. */
function startTicking(world: World): { plan: () => void; end: () => void } {
  let timer: NodeJS.Timeout | undefined;
  function tick(): void {
    settle(world);
    for (const contract of world.contracts.values()) {
      if (PHASES[contract.phase].billsGpu) countTraffic(world, contract);
    }
    world.commit();
    plan();
  }
  function plan(): void {
    clearTimeout(timer);
    const due = world.clock.realMsUntil(nextDue(world));
    timer = setTimeout(tick, Math.min(MAX_TICK_MS, Math.max(1, due)));
  }
  return { plan, end: () => clearTimeout(timer) };
}

function noteExit(world: World, contractId: number): void {
  const contract = world.contracts.get(contractId);
  if (!contract) return;
  fire(world, contract, "process-ended", settle(world), {
    kind: "exit",
    stopCause: "exit",
    statusMsg: "container exited",
  });
  world.commit();
}

/** A killed daemon's machines go on; somebody who stops the emulator then wants them ended. */
async function cleanUp(options: DaemonOptions): Promise<void> {
  const machines: MachineHost = await createMachineHost({
    home: options.home,
    apiPort: 0,
    binds: [],
    handleRequest: (_, response) => response.writeHead(503).end(),
    log,
  });
  await machines.recover([]);
  await machines.close({ endMachines: true });
  report({ ok: true });
  process.exit(0);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EADDRINUSE") return reject(cause);
      reject(
        new UserError("VL_PORT_IN_USE", {
          what: `Port ${port} is taken by another program.`,
          why: "The emulator listens on 127.0.0.1 at this port, and keeps its port from one start to the next.",
          hint: `End the program that has it (ss -ltnp 'sport = :${port}' shows it), or start with another: --port N.`,
          cause,
        }),
      );
    });
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

function portOf(url: string | undefined): number {
  return url === undefined ? 0 : Number(new URL(url).port);
}

function firstKey(world: World): string {
  const key = world.keys.values().find((one) => one.contractId === null);
  if (!key) throw new Error("internal: a market without a key");
  return key.key;
}

/** The disk refused a commit: what is in memory is not on disk, so nothing more may be told of it. */
function die(error: unknown): never {
  fail(error);
}

function fail(error: unknown): never {
  log(error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
  const known = asUserError(error);
  if (known)
    report({
      ok: false,
      running: false,
      code: known.code,
      what: known.what,
      why: known.why ?? "",
      hint: known.hint ?? "",
    });
  process.exit(1);
}

function asUserError(error: unknown): UserError | undefined {
  if (error instanceof UserError) return error;
  const { code, path } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return undefined;
  return new UserError("VL_DISK_FULL", {
    what: "The disk has no space left for the emulator's state.",
    ...(path ? { why: `Writing ${path} failed.` } : {}),
    hint: "Free some space, or give another folder with --home; nothing that was answered is lost.",
    cause: error,
  });
}

/** Tells the parent once; without a parent (started by hand) there is no descriptor 3. */
function report(line: Report): void {
  if (isReported) return;
  isReported = true;
  try {
    writeSync(3, `${JSON.stringify(line)}\n`);
    closeSync(3);
  } catch {
    log(JSON.stringify(line));
  }
}
