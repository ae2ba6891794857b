/**
 * The emulator's process. Opens the home, takes over machines that outlived the last daemon, serves the market and the
 * store on loopback, and reports on file descriptor 3 that it answers, or why it cannot. Log: `daemon.log` in the home.
 */
import { closeSync, existsSync, mkdirSync, writeSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { systemClock } from "../common/clock.ts";
import { messageOf, UserError } from "../common/errors.ts";
import { identify } from "../common/process.ts";
import { type Emulation, openEmulation } from "./emulation.ts";
import { isDaemonAlive, lockHome, readHome, type S3Info, writeHome } from "./home.ts";
import { createMachineHost } from "./machine/index.ts";
import { createNoMachines } from "./no-machines.ts";
import { type DaemonOptions, parseDaemonOptions } from "./options.ts";
import { type EmulatedS3, openEmulatedS3, S3_REGION } from "./s3/index.ts";
import { openStore } from "./state/store.ts";

/** What the parent reads from descriptor 3: one line. */
export type Report =
  | { ok: true }
  | { ok: false; running: boolean; code?: string; what?: string; why?: string; hint?: string };

/** Clients keep connections for longer than Node's 5 s and would meet a closed one. */
const KEEP_ALIVE_MS = 65_000;
const HOME_CHECK_MS = 2000;

let isReported = false;

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

try {
  const options = parseDaemonOptions(process.argv.slice(2));
  mkdirSync(options.home, { recursive: true, mode: 0o700 });
  await takeHome(options.home);
  await (options.isCleanup ? cleanUp(options) : serve(options));
} catch (error) {
  fail(error);
}

/** One daemon in a home; a second one says that it is not needed and ends. */
async function takeHome(home: string): Promise<void> {
  const lock = await lockHome(home);
  const before = readHome(home);
  if (lock && !(before && before.pid !== process.pid && isDaemonAlive(before))) return;
  report({ ok: false, running: true });
  process.exit(1);
}

async function serve(options: DaemonOptions): Promise<void> {
  const server = createServer();
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const before = readHome(options.home);
  const port = await listen(server, options.port ?? portOf(before?.url), "--port");
  const store = openStore(options.home);
  const emulation = openEmulation({
    options: { seed: options.seed, speed: options.speed, loadingSeconds: options.loadingSeconds, calm: options.isCalm },
    hasRateLimits: options.hasRateLimits,
    store,
    clock: systemClock,
    machines: createNoMachines(port),
    log,
    onFatal: fail, // what is in memory is not on disk: nothing more may be told of it
    onStop: () => void stop(),
  });
  const s3 = await openEmulatedS3({ folder: join(options.home, "s3"), faults: emulation.storeFaults, log });
  emulation.world.s3 = s3;
  const s3Server = s3.createServer();
  const s3Port = await listen(s3Server, options.s3Port ?? portOf(before?.s3?.endpoint), "--s3-port");
  await emulation.useMachines(await machinesFor(options, port, emulation, { s3, port: s3Port }));
  server.on("request", emulation.listener({ isAdmin: true }));
  emulation.startTicking();
  recordHome(options, port, emulation, {
    endpoint: `http://127.0.0.1:${s3Port}`,
    ...s3.root,
    region: S3_REGION,
  });
  log(`serving http://127.0.0.1:${port} (store: port ${s3Port}), machines: ${emulation.world.machines.mode}`);
  report({ ok: true });
  flushCompileCache(); // at the exit it would be too late for a daemon that is killed
  process.on("SIGTERM", () => void stop());
  process.on("SIGINT", () => void stop());
  setInterval(() => {
    // Somebody removed the folder: nobody could ever find or stop this daemon and its machines again.
    if (!existsSync(options.home)) void stop();
  }, HOME_CHECK_MS).unref();

  let isStopping = false;
  /** Ends the machines (their disks stay) and leaves a state that the next start goes on from. */
  async function stop(): Promise<void> {
    if (isStopping) return;
    isStopping = true;
    log("stopping");
    for (const one of [server, s3Server]) {
      one.close();
      one.closeAllConnections();
    }
    await emulation.quiesce();
    await emulation.world.machines.close({ endMachines: true });
    if (existsSync(options.home)) {
      emulation.world.market.stopped = true;
      emulation.world.commit();
      store.close();
      await s3.close();
    }
    process.exit(0);
  }
}

async function machinesFor(
  options: DaemonOptions,
  port: number,
  emulation: Emulation,
  store: { s3: EmulatedS3; port: number },
) {
  if (options.hasNoMachines) return createNoMachines(port);
  return createMachineHost({
    home: options.home,
    apiPort: port,
    binds: options.binds,
    handleRequest: emulation.listener({ isAdmin: false }),
    s3: { port: store.port, createServer: store.s3.createServer },
    ...(options.isPlain ? { plain: true } : {}),
    log,
  });
}

function recordHome(options: DaemonOptions, port: number, { world, adminKey }: Emulation, s3: S3Info): void {
  const [account] = world.accounts.values();
  writeHome({
    url: `http://127.0.0.1:${port}`,
    apiKey: adminKey,
    s3,
    home: options.home,
    ...identify(process.pid),
    seed: world.options.seed,
    speed: world.clock.speed,
    accountId: account?.id ?? 0,
  });
}

/** A killed daemon's machines go on; somebody who stops the emulator then wants them ended. */
async function cleanUp(options: DaemonOptions): Promise<void> {
  const machines = await createMachineHost({
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

function listen(server: Server, port: number, flag: "--port" | "--s3-port"): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EADDRINUSE") return reject(cause);
      reject(
        new UserError("VL_PORT_IN_USE", {
          what: `Port ${port} is taken by another program.`,
          why: "The emulator listens on 127.0.0.1 at this port, and keeps its port from one start to the next.",
          hint: `End the program that has it (ss -ltnp 'sport = :${port}' shows it), or start with another: ${flag} N.`,
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

function fail(error: unknown): never {
  log(error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
  const known = asUserError(error);
  if (known) {
    const { code, what, why = "", hint = "" } = known;
    report({ ok: false, running: false, code, what, why, hint });
  }
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
