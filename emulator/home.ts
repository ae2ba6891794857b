/**
 * The emulator's folder: where it is, what `emulator.json` says, and the lock that lets one daemon run in it.
 * `emulator.json` is the only thing that other processes read; it holds the account key, so it is private.
 */
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:net";
import { join, resolve } from "node:path";
import { UserError } from "../common/errors.ts";
import { readJsonIfThere, writeFileAtomic } from "../common/files.ts";
import { isAlive } from "../common/process.ts";

/** What an S3 client needs; the pair may do everything. */
export interface S3Info {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
}

/** What a person or a script needs to use a running emulator. */
export interface EmulatorInfo {
  url: string;
  apiKey: string;
  s3: S3Info;
  pid: number;
  home: string;
}

/** `emulator.json`: the above, and what a restart must keep. */
export interface HomeRecord extends Omit<EmulatorInfo, "s3"> {
  /** Null in the record of a vastlane that had no store yet. */
  s3: S3Info | null;
  startTicks: number | null;
  seed: number;
  speed: number;
  accountId: number;
}

/** The folder that is used when none is named: `VASTLANE_EMULATOR_HOME`, else below the working directory. */
export function defaultHome(environment: NodeJS.ProcessEnv = process.env): string {
  return resolve(environment.VASTLANE_EMULATOR_HOME || join(".vastlane", "emulator"));
}

export const logPath = (home: string): string => join(home, "daemon.log");

export function readHome(home: string): HomeRecord | undefined {
  return readJsonIfThere(join(home, "emulator.json")) as HomeRecord | undefined;
}

export function writeHome(record: HomeRecord): void {
  writeFileAtomic(join(record.home, "emulator.json"), `${JSON.stringify(record, null, 2)}\n`, 0o600);
}

/** Whether the daemon of this record runs. */
export function isDaemonAlive(record: HomeRecord): boolean {
  return isAlive({ pid: record.pid, startTicks: record.startTicks });
}

/** The part of the record that others may see, with exactly these keys. */
export function infoOf({ url, apiKey, s3, pid, home }: HomeRecord): EmulatorInfo {
  if (s3) return { url, apiKey, s3, pid, home };
  throw new UserError("VL_EMULATOR_FAILED", {
    what: "The emulator that runs here has no store.",
    why: `An older vastlane started it (process ${pid}).`,
    hint: "npx vastlane emulator stop, then npx vastlane emulator start",
  });
}

/**
 * Takes the home for this process; undefined when another daemon has it. The lock is a socket in the system's own
 * name space, so that it goes with its process however that ends. Where there are no such sockets (not Linux) the
 * check of the recorded pid before the start is all there is.
 */
export function lockHome(home: string): Promise<Server | undefined> {
  const name = `\0vastlane-emulator-${createHash("sha256").update(resolve(home)).digest("hex").slice(0, 40)}`;
  const server = createServer((socket) => socket.destroy());
  if (process.platform !== "linux") return Promise.resolve(server);
  return new Promise((resolveLock, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolveLock(undefined);
      else reject(error);
    });
    server.listen(name, () => {
      server.unref();
      resolveLock(server);
    });
  });
}
