/** Killing Pulumi at a chosen moment, and what must be true afterwards. */
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { engineChildren } from "../../infra/engine-process.ts";
import { parseLabel } from "../../infra/vast/label.ts";
import { finish, type TestProject } from "./project.ts";

export const VICTIMS = ["engine", "provider", "both"] as const;
export type Victim = (typeof VICTIMS)[number];

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Polls until `test` holds; the last value of `test` is returned, so that a test can assert it. */
export async function eventually(test: () => boolean | Promise<boolean>, ms = 20_000): Promise<boolean> {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (await test()) return true;
    await sleep(20);
  }
  return test();
}

/** SIGKILL of the engine, of everything that it started, or of both. */
export function kill(project: TestProject, engine: ChildProcess, victim: Victim): void {
  const children = engineChildren(project.root).filter(({ pid }) => isProvider(pid));
  if (victim !== "provider" && engine.pid !== undefined && engine.exitCode === null) engine.kill("SIGKILL");
  if (victim !== "engine") {
    for (const { pid } of children) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone already
      }
    }
  }
}

/** Where a provider stops at a numbered point of lifecycle.ts until it is let go. */
export interface Pause {
  env: Record<string, string>;
  reached(): boolean;
  release(): void;
}

export function pauseAt(project: TestProject, point: string): Pause {
  const file = join(project.root, ".vastlane", `pause-${point}`); // not part of the project that is sent
  rmSync(`${file}.done`, { force: true });
  return {
    env: { VASTLANE_PAUSE_AT: point, VASTLANE_PAUSE_FILE: file },
    reached: () => existsSync(file),
    release: () => rmSync(file, { force: true }),
  };
}

/** Processes of Pulumi engines that work in the project. */
export function leftovers(project: TestProject): number[] {
  return engineChildren(project.root).map(({ pid }) => pid);
}

/**
 * The most contracts that billed at the same moment for one instance, from the journal after line `since`.
 * An overlap of less than `boundS` of market time (an orphan's machine and its successor's) is not counted.
 */
export async function mostAtOnce(project: TestProject, since = 0, boundS = 10): Promise<number> {
  const lives = new Map<number, { key: string; from: number; to: number }>();
  for (const line of await project.market.journal(since)) {
    if (line.contractId === undefined) continue;
    if (line.kind === "rent") {
      const label = parseLabel(line.label as string);
      const key = label ? `${label.scope}:${label.name}` : "not ours";
      lives.set(line.contractId, { key, from: line.t, to: Number.POSITIVE_INFINITY });
    }
    const life = lives.get(line.contractId);
    if (line.kind === "destroy" && life) life.to = line.t;
  }
  const all = [...lives.values()];
  const overlapping = all.map(
    (life) =>
      all.filter((it) => it.key === life.key && it.from <= life.from && Math.min(it.to, life.to) - life.from > boundS)
        .length,
  );
  return Math.max(all.length > 0 ? 1 : 0, ...overlapping);
}

function isProvider(pid: number): boolean {
  try {
    return /dynamic-provider|pulumi-resource-/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}

export const RECOVERIES = ["vastlane destroy", "pulumi destroy", "vastlane up"] as const;
export type Recovery = (typeof RECOVERIES)[number];

export interface KillCase {
  verb: "up" | "destroy";
  /** A numbered point of lifecycle.ts, or milliseconds after the start. */
  at: string | number;
  victim: Victim;
  recovery: Recovery;
}

/**
 * Starts Pulumi, kills at the given moment, recovers, and looks for anything that should not be: a contract too many,
 * then or a minute later, a process of ours, two machines billing for one instance. Ends with nothing rented.
 * Returns what is wrong, in sentences; empty when all is well.
 */
export async function killOnce(project: TestProject, { verb, at, victim, recovery }: KillCase): Promise<string[]> {
  const wrong: string[] = [];
  const since = (await project.market.journal()).length;
  const expectZero = async (what: string, run: Promise<{ code: number; stdout: string; stderr: string }>) => {
    const { code, stdout, stderr } = await run;
    if (code !== 0) wrong.push(`${what} ended with ${code}: ${(stdout + stderr).slice(-1500)}`);
  };
  if (verb === "destroy") await expectZero("the up before", project.pulumi(["up", "--yes", "--skip-preview"]));
  const pause = typeof at === "string" ? pauseAt(project, at) : undefined;
  const engine = project.startPulumi([verb, "--yes", "--skip-preview"], pause?.env ?? {});
  const ended = finish(engine);
  if (pause) {
    if (!(await eventually(pause.reached, 60_000))) wrong.push(`${verb} never came to ${at}`);
  } else await Promise.race([ended, sleep(at as number)]);
  kill(project, engine, victim);
  pause?.release();
  if (victim === "provider") await ended;
  if (recovery === "vastlane up") {
    await expectZero(recovery, project.vastlane(["up"]));
    const alive = await project.alive();
    if (alive.length !== 1) wrong.push(`after ${recovery} there are ${alive.length} contracts`);
  }
  if (recovery === "pulumi destroy") {
    // As the README tells: a new shell takes what raw pulumi needs, which also clears what the killed run left.
    await expectZero("vastlane env", project.vastlane(["env", project.stack]));
    await expectZero(recovery, project.pulumi(["destroy", "--yes", "--skip-preview"]));
  } else await expectZero("vastlane destroy", project.vastlane(["destroy"]));
  const alive = await project.alive();
  if (alive.length > 0) wrong.push(`contracts ${alive} are alive after ${recovery}`);
  if (!(await eventually(() => leftovers(project).length === 0, 3000)))
    wrong.push(`processes ${leftovers(project)} are left`);
  await project.market.clock({ advanceSeconds: 60 });
  const later = await project.alive();
  if (later.length > 0) wrong.push(`contracts ${later} are alive a minute after ${recovery}`);
  const most = await mostAtOnce(project, since);
  if (most > 1) wrong.push(`${most} contracts billed at once for one instance`);
  return wrong;
}
