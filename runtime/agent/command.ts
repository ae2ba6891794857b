/**
 * One attempt at the command: a process session of its own, and an end that means that the whole process group is
 * gone. SIGTERM goes to the leader first (a trainer's data loaders must live until it has saved); once the leader
 * has ended, to whatever it left behind, so that `sh -c "python train.py"` reaches the trainer too.
 */
import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { constants } from "node:os";
import type { Clock } from "../../common/clock.ts";
import { identify, isAlive, signal } from "../../common/process.ts";
import { isGroupAlive, signalGroup } from "./process-table.ts";

export interface CommandEnd {
  /** The shell's convention: 128 + n for signal n, 127 when there is no such program. */
  exitCode: number;
  /** Why it could not even start. */
  problem?: string;
}

export interface RunningCommand {
  pid: number | undefined;
  terminate(): void;
  kill(): void;
  ended: Promise<CommandEnd>;
}

export interface CommandStart {
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  /** Descriptor for stdout and stderr; closed here. */
  outputFd: number;
  /** How long what the leader has left behind may take to end, unless `kill` comes first. */
  leftoverGraceMs: number;
  clock: Clock;
}

/** @throws where the system refuses it outright, as an environment that is too long */
export function startCommand(start: CommandStart): RunningCommand {
  const [program = "", ...args] = start.argv;
  const child = spawnInto(start.outputFd, program, args, start);
  const leaderEnd = new Promise<CommandEnd>((resolve) => {
    child.on("error", (error) => resolve({ exitCode: 127, problem: `cannot start ${program}: ${error.message}` }));
    child.on("exit", (code, by) => resolve({ exitCode: code ?? 128 + (by ? constants.signals[by] : 0) }));
  });
  const group = child.pid;
  return {
    pid: group,
    terminate: () => void child.kill("SIGTERM"),
    kill: () => void (group !== undefined && signalGroup(group, "SIGKILL")),
    ended: leaderEnd.then(async (end) => {
      if (group !== undefined) await endGroup(group, start.leftoverGraceMs, start.clock);
      return end;
    }),
  };
}

function spawnInto(outputFd: number, program: string, args: string[], { cwd, env }: CommandStart) {
  try {
    // setsid: its own session and group, so no SSH session can take it along
    return spawn(program, args, { cwd, env, detached: true, stdio: ["ignore", outputFd, outputFd] });
  } finally {
    closeSync(outputFd);
  }
}

/**
 * SIGTERM to the leader if it lives, then to the rest; SIGKILL to all after `graceMs`. Resolves when nobody is left,
 * or 5 s after the SIGKILL: longer takes only what hangs in a system call, where nothing helps.
 */
export async function endGroup(group: number, graceMs: number, clock: Clock): Promise<void> {
  const end = clock.now() + graceMs;
  const leader = identify(group);
  if (signal(leader, "SIGTERM")) await waitUntil(() => !isAlive(leader), end, clock);
  if (!signalGroup(group, "SIGTERM")) return;
  if (await waitUntil(() => !isGroupAlive(group), end, clock)) return;
  signalGroup(group, "SIGKILL");
  await waitUntil(() => !isGroupAlive(group), clock.now() + 5000, clock);
}

async function waitUntil(condition: () => boolean, end: number, clock: Clock): Promise<boolean> {
  while (!condition()) {
    if (clock.now() >= end) return false;
    await clock.sleep(50);
  }
  return true;
}
