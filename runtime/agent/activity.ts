/**
 * Signs of life on a machine: a GPU at work, keys in a terminal, traffic over SSH, processes that compute or write,
 * files that change. An open connection is none of them, nor is a monitor that refreshes in a forgotten terminal: both
 * must not keep a machine billing. What cannot be read counts as activity, since the other mistake would end
 * somebody's work.
 */
import { execFile } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { namesIn } from "../../common/files.ts";
import { neverSent } from "../../common/never-sent.ts";

export type Sign = "GPU" | "terminal" | "SSH" | "processes" | "files" | "unknown";

export interface ActivitySample {
  /** The signs that were seen since the last sample; empty: nothing moved. */
  seen: Sign[];
  /** 0..100, of the busiest GPU; null: there is none, or it cannot be asked. */
  gpuUtil: number | null;
}

export interface Activity {
  sample(): Promise<ActivitySample>;
}

export interface ActivityOptions {
  /** Folders in which a changed file is a sign. */
  folders: string[];
  /** Whether a process belongs to the agent, so that it is no sign. */
  isOurs(pid: number): boolean;
  now(): number;
  /** Where the kernel shows processes and terminals; tests have their own. */
  proc?: string;
  terminals?: string;
  readGpu?: () => Promise<number | null>;
}

/** Percent from which a GPU counts as used: drivers show 1 or 2 on their own. */
const GPU_PERCENT = 5;
/** Of one core, by one process. Editors' servers and notebooks stay below it when nobody uses them. */
const CPU_SHARE = 0.05;
/** Bytes a second that one process writes: downloads and copies, which may need little CPU; not a monitor's screen. */
const WRITTEN_PER_SECOND = 100_000;
/** Bytes a second that one SSH session reads: a transfer, not the keep-alives of an idle editor. */
const SSH_PER_SECOND = 20_000;
/** Of a large tree only so many entries are looked at. */
const MAX_ENTRIES = 50_000;
const GIVE_WAY_AFTER = 500;
const TICKS_PER_SECOND = 100;

interface ProcessReading {
  isSsh: boolean;
  ticks: number;
  read: number;
  written: number;
}

interface Reading {
  at: number;
  /** When keys were last pressed, in any terminal; ms. */
  terminals: number;
  /** Changes with every file. */
  files: string;
  processes: Map<number, ProcessReading>;
}

export function watchActivity(options: ActivityOptions): Activity {
  let before: Reading | undefined;
  return {
    async sample() {
      const gpuUtil = await (options.readGpu ?? readGpu)();
      let now: Reading;
      try {
        now = await read(options);
      } catch {
        return { seen: ["unknown"], gpuUtil };
      }
      const seen = before ? compare(before, now) : [];
      if ((gpuUtil ?? 0) >= GPU_PERCENT) seen.push("GPU");
      before = now;
      return { seen, gpuUtil };
    },
  };
}

function compare(before: Reading, now: Reading): Sign[] {
  const seconds = Math.max(1, (now.at - before.at) / 1000);
  const seen = new Set<Sign>();
  if (now.terminals > before.terminals) seen.add("terminal");
  if (now.files !== before.files) seen.add("files");
  for (const [pid, process] of now.processes) {
    const earlier = before.processes.get(pid);
    const rate = (what: "ticks" | "read" | "written") => {
      const since = earlier && earlier[what] <= process[what] ? earlier[what] : 0; // a new process, or a reused number
      return (process[what] - since) / seconds;
    };
    if (process.isSsh) {
      if (rate("read") > SSH_PER_SECOND) seen.add("SSH");
    } else if (rate("ticks") / TICKS_PER_SECOND > CPU_SHARE || rate("written") > WRITTEN_PER_SECOND) {
      seen.add("processes");
    }
  }
  return [...seen];
}

async function read(options: ActivityOptions): Promise<Reading> {
  const { folders, isOurs, now, proc = "/proc", terminals = "/dev/pts" } = options;
  const files: string[] = [];
  for (const folder of folders) files.push(await changesIn(folder));
  const processes = new Map<number, ProcessReading>();
  for (const name of readdirSync(proc)) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid <= 1 || isOurs(pid)) continue;
    const process = readProcess(join(proc, name));
    if (process) processes.set(pid, process);
  }
  return { at: now(), terminals: lastKeys(terminals), files: files.join(), processes };
}

/** Undefined for one that has ended meanwhile. What another user's process reads and writes is not shown: 0. */
function readProcess(folder: string): ProcessReading | undefined {
  const stat = textOf(join(folder, "stat"));
  if (stat === undefined) return undefined;
  const program = /\((.*)\)/s.exec(stat)?.[1] ?? "";
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const io = textOf(join(folder, "io")) ?? "";
  const bytes = (name: string) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(io)?.[1] ?? 0);
  return {
    isSsh: program.startsWith("sshd"),
    ticks: Number(fields[11]) + Number(fields[12]),
    read: bytes("rchar"),
    written: bytes("wchar"),
  };
}

/** A terminal's access time moves with keys, its other times with output as well. The kernel rounds it to 8 s. */
function lastKeys(folder: string): number {
  let newest = 0;
  for (const name of namesIn(folder)) {
    if (!/^\d+$/.test(name)) continue;
    newest = Math.max(newest, statSync(join(folder, name), { throwIfNoEntry: false })?.atimeMs ?? 0);
  }
  return newest;
}

/** Sums, as a file's time may lie in the future, or go back: the newest one alone would hide later changes. */
async function changesIn(folder: string): Promise<string> {
  let looked = 0;
  let count = 0;
  let times = 0;
  let sizes = 0;
  const enter = async (path: string, relative: string): Promise<void> => {
    for (const name of namesIn(path)) {
      if (looked >= MAX_ENTRIES) return;
      looked += 1;
      if (looked % GIVE_WAY_AFTER === 0) await turn();
      const below = relative === "" ? name : `${relative}/${name}`;
      if (neverSent(below) === "silent") continue;
      const stat = lstatSync(join(path, name), { throwIfNoEntry: false });
      if (!stat) continue;
      count += 1;
      times += Math.round(stat.mtimeMs) % 1e9; // a sum of many must stay exact
      sizes += stat.size;
      if (stat.isDirectory()) await enter(join(path, name), below);
    }
  };
  await enter(folder, "");
  return `${count} ${times} ${sizes}`;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function readGpu(): Promise<number | null> {
  const args = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"];
  return new Promise((resolve) => {
    execFile("nvidia-smi", args, { timeout: 5_000 }, (error, stdout) => {
      const values = error ? [] : stdout.split("\n").map(Number.parseFloat).filter(Number.isFinite);
      resolve(values.length > 0 ? Math.max(...values) : null);
    });
  });
}
