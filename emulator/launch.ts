/**
 * Starts and stops the daemon of a home. The daemon outlives the caller; it is found again by `emulator.json`, and
 * it is ended by its pid and start time, never by name.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Clock, systemClock } from "../common/clock.ts";
import { type ErrorCode, messageOf, UserError } from "../common/errors.ts";
import { readFileIfThere } from "../common/files.ts";
import { endProcess, isAlive } from "../common/process.ts";
import { createEmulatorClient, type EmulatorClient, type EmulatorStatus } from "./client.ts";
import type { Report } from "./daemon.ts";
import { defaultHome, type EmulatorInfo, infoOf, isDaemonAlive, logPath, readHome } from "./home.ts";

export interface StartOptions {
  home?: string;
  port?: number;
  /** Of the store. */
  s3Port?: number;
  seed?: number;
  speed?: number;
  loadingSeconds?: number;
  rateLimits?: boolean;
  /** Prices stand still and nothing happens by itself. */
  calm?: boolean;
  /** Machines without root and namespaces even where these could be had. */
  plain?: boolean;
  /** No machines at all (nothing to SSH into). */
  noMachines?: boolean;
  /** Extra read-only folders in every machine. */
  binds?: { from: string; to: string }[];
}

/** Halves the time to the first answer: the daemon's sixty files are compiled once, not at each start. */
const COMPILE_CACHE = fileURLToPath(new URL("../.vastlane/node-cache", import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STOP_GRACE_MS = 15_000;
const LOG_LINES_SHOWN = 12;

/**
 * Starts the emulator of a home and waits until it answers. One that runs there already is used as it is.
 * @throws UserError VL_PORT_IN_USE, VL_DISK_FULL, VL_EMULATOR_FAILED.
 */
export async function startEmulator(options: StartOptions = {}, clock: Clock = systemClock): Promise<EmulatorInfo> {
  const home = options.home ?? defaultHome();
  const running = await findRunning(home);
  if (running) return running;
  const report = await launch(home, argumentsOf(home, options));
  if (report.ok || report.running) {
    const end = clock.now() + START_TIMEOUT_MS;
    while (clock.now() < end) {
      const started = await findRunning(home);
      if (started) return started;
      await clock.sleep(25); // somebody else started it at the same moment, and it does not answer yet
    }
  }
  throw startFailure(home, report);
}

/**
 * Ends the daemon of a home and all its machines; their disks, the contracts and the market stay for the next start.
 * False when none was running (machines that a killed daemon left are ended then, too).
 */
export async function stopEmulator(home: string = defaultHome(), clock: Clock = systemClock): Promise<boolean> {
  const record = readHome(home);
  if (!record) return false;
  if (!isDaemonAlive(record)) {
    await cleanUp(home);
    return false;
  }
  const daemon = { pid: record.pid, startTicks: record.startTicks };
  try {
    await createEmulatorClient(record).stop();
  } catch {
    // It does not answer: SIGTERM below asks for the same.
  }
  const end = clock.now() + STOP_GRACE_MS;
  while (isAlive(daemon) && clock.now() < end) await clock.sleep(20);
  const wasAsked = !isAlive(daemon);
  if (!(await endProcess(daemon, clock, STOP_GRACE_MS))) {
    throw new UserError("VL_EMULATOR_FAILED", {
      what: `The emulator (process ${record.pid}) does not end.`,
      hint: `Look at ${logPath(home)}.`,
    });
  }
  if (!wasAsked) await cleanUp(home);
  return true;
}

/** Ends the machines that a killed daemon left behind, if it had any. */
async function cleanUp(home: string): Promise<void> {
  if (existsSync(join(home, "machines"))) await launch(home, ["--home", home, "--cleanup"]);
}

type WholeStatus = Omit<EmulatorStatus, "s3"> & EmulatorInfo & { s3: EmulatorStatus["s3"] };

/** What the emulator of a home says of itself, with its address; undefined when none runs there. */
export async function emulatorStatus(home: string = defaultHome()): Promise<WholeStatus | undefined> {
  const info = await findRunning(home);
  if (!info) return undefined;
  const status = await createEmulatorClient(info).status();
  return {
    ...status,
    ...info,
    s3: { ...info.s3, ...(status.s3 ?? { buckets: 0, objects: 0, bytes: 0, keptBytes: 0 }) },
  };
}

/** A client of the emulator of a home. @throws UserError VL_EMULATOR_DOWN when none was ever started there. */
export function emulatorClient(home: string = defaultHome()): EmulatorClient {
  const record = readHome(home);
  if (!record)
    throw new UserError("VL_EMULATOR_DOWN", {
      what: "No emulator is running.",
      why: `${home} has no emulator.json.`,
      hint: "Start it with: npx vastlane emulator start",
    });
  return createEmulatorClient(record);
}

async function findRunning(home: string): Promise<EmulatorInfo | undefined> {
  const record = readHome(home);
  if (!record || !isDaemonAlive(record)) return undefined;
  try {
    await createEmulatorClient(record).status();
  } catch {
    return undefined;
  }
  return infoOf(record);
}

function argumentsOf(home: string, options: StartOptions): string[] {
  const values: [string, number | undefined][] = [
    ["--port", options.port],
    ["--s3-port", options.s3Port],
    ["--seed", options.seed],
    ["--speed", options.speed],
    ["--loading-seconds", options.loadingSeconds],
  ];
  const flags: [string, boolean | undefined][] = [
    ["--rate-limits", options.rateLimits],
    ["--calm", options.calm],
    ["--plain", options.plain],
    ["--no-machines", options.noMachines],
  ];
  return [
    "--home",
    home,
    ...values.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    ...flags.flatMap(([name, value]) => (value ? [name] : [])),
    ...(options.binds ?? []).flatMap(({ from, to }) => ["--bind", `${from}:${to}`]),
  ];
}

/** Runs the daemon detached and returns what it reports, or a bare failure when it dies without a word. */
async function launch(home: string, args: string[]): Promise<Report> {
  const log = openLog(home);
  const daemon = spawn(nodeForTypeScript(), [fileURLToPath(new URL("daemon.ts", import.meta.url)), ...args], {
    detached: true,
    stdio: ["ignore", log, log, "pipe"],
    env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, NODE_NO_WARNINGS: "1" },
  });
  closeSync(log);
  const pipe = daemon.stdio[3] as Readable;
  let text = "";
  const report = await new Promise<Report>((resolve) => {
    const giveUp = setTimeout(() => resolve({ ok: false, running: false }), START_TIMEOUT_MS);
    const done = (value: Report) => {
      clearTimeout(giveUp);
      resolve(value);
    };
    daemon.once("error", () => done({ ok: false, running: false }));
    pipe.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) done(JSON.parse(text) as Report);
    });
    pipe.once("close", () => done(text.includes("\n") ? (JSON.parse(text) as Report) : { ok: false, running: false }));
  });
  pipe.destroy();
  daemon.unref();
  return report;
}

/** This Node where it runs TypeScript as it is, else the one that the project depends on. */
function nodeForTypeScript(): string {
  const own = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));
  return process.features.typescript || !existsSync(own) ? process.execPath : own;
}

function openLog(home: string): number {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    return openSync(logPath(home), "a", 0o600);
  } catch (cause) {
    const isFull = (cause as NodeJS.ErrnoException).code === "ENOSPC";
    throw new UserError(isFull ? "VL_DISK_FULL" : "VL_EMULATOR_FAILED", {
      what: `The emulator cannot keep its files in ${home}.`,
      why: messageOf(cause),
      hint: isFull ? "Free some space." : "Name another folder with --home or VASTLANE_EMULATOR_HOME.",
      cause,
    });
  }
}

function startFailure(home: string, report: Report): UserError {
  if (!report.ok && report.code !== undefined) {
    const { what = "The emulator could not start.", why, hint } = report;
    return new UserError(report.code as ErrorCode, { what, ...(why ? { why } : {}), ...(hint ? { hint } : {}) });
  }
  const lines = (readFileIfThere(logPath(home)) ?? "").trimEnd().split("\n").slice(-LOG_LINES_SHOWN);
  return new UserError("VL_EMULATOR_FAILED", {
    what: "The emulator could not start.",
    why: `The last lines of ${logPath(home)}:\n${lines.map((line) => `    ${line}`).join("\n")}`,
  });
}
