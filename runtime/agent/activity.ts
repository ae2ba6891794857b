/**
 * Signs of life on a machine: GPU, terminals, traffic over SSH, processes that compute, files that change. An open
 * connection is none of them: an editor that was left open overnight must not keep a machine billing. What cannot be
 * read counts as activity, since the other mistake would end somebody's work.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { neverSent } from "../../common/never-sent.ts";

export interface ActivitySample {
  /** Names of the signs that were seen since the last sample; empty: nothing moved. */
  seen: string[];
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
}

/** Percent from which a GPU counts as used: drivers show 1 or 2 on their own. */
const GPU_PERCENT = 5;
/** Of one core. Editors' servers stay below it when nobody uses them. */
const CPU_SHARE = 0.05;
/** Bytes a second over all SSH sessions: a transfer, not the keep-alives of an idle editor. */
const SSH_BYTES_PER_SECOND = 20_000;
/** Of a large tree only so many entries are looked at. */
const MAX_ENTRIES = 5_000;
const TICKS_PER_SECOND = 100;

interface Reading {
  at: number;
  terminals: number;
  files: number;
  sshBytes: number;
  cpuTicks: Map<number, number>;
}

export function watchActivity(options: ActivityOptions): Activity {
  let before: Reading | undefined;
  return {
    async sample() {
      const gpuUtil = await readGpu();
      let now: Reading;
      try {
        now = read(options);
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

function compare(before: Reading, now: Reading): string[] {
  const seconds = Math.max(1, (now.at - before.at) / 1000);
  const seen: string[] = [];
  if (now.terminals > before.terminals) seen.push("terminal");
  if (now.files > before.files) seen.push("files");
  if ((now.sshBytes - before.sshBytes) / seconds > SSH_BYTES_PER_SECOND) seen.push("SSH");
  const isBusy = [...now.cpuTicks].some(
    ([pid, ticks]) => (ticks - (before.cpuTicks.get(pid) ?? 0)) / TICKS_PER_SECOND / seconds > CPU_SHARE,
  );
  if (isBusy) seen.push("processes");
  return seen;
}

function read({ folders, isOurs, now }: ActivityOptions): Reading {
  const reading: Reading = { at: now(), terminals: newestTerminal(), files: 0, sshBytes: 0, cpuTicks: new Map() };
  for (const folder of folders) reading.files = Math.max(reading.files, newestFile(folder));
  if (process.platform !== "linux") throw new Error("no /proc");
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid <= 1 || isOurs(pid)) continue;
    const stat = readProc(pid, "stat");
    if (stat === undefined) continue;
    const program = /\((.*)\)/s.exec(stat)?.[1] ?? "";
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (program.startsWith("sshd")) reading.sshBytes += ioBytes(pid);
    else reading.cpuTicks.set(pid, Number(fields[11]) + Number(fields[12]));
  }
  return reading;
}

/** Newest use of any terminal, ms: reads are keys, writes are output. */
function newestTerminal(): number {
  let newest = 0;
  for (const name of list("/dev/pts")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statSync(join("/dev/pts", name), { throwIfNoEntry: false });
    if (stat) newest = Math.max(newest, stat.atimeMs, stat.mtimeMs);
  }
  return newest;
}

function newestFile(folder: string): number {
  let newest = 0;
  let left = MAX_ENTRIES;
  const enter = (path: string, relative: string) => {
    for (const name of list(path)) {
      if (left <= 0) return;
      left -= 1;
      const below = relative === "" ? name : `${relative}/${name}`;
      if (neverSent(below) === "silent") continue;
      const stat = statSync(join(path, name), { throwIfNoEntry: false });
      if (!stat) continue;
      newest = Math.max(newest, stat.mtimeMs);
      if (stat.isDirectory()) enter(join(path, name), below);
    }
  };
  enter(folder, "");
  return newest;
}

function ioBytes(pid: number): number {
  const text = readProc(pid, "io") ?? "";
  return Number(/^rchar: (\d+)/m.exec(text)?.[1] ?? 0);
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined; // ended meanwhile
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
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
