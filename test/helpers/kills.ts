/** Killing Pulumi at a chosen moment, and what must be true afterwards. */
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { engineChildren } from "../../infra/engine-process.ts";
import { parseLabel } from "../../infra/vast/label.ts";
import type { TestProject } from "./project.ts";

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
  const file = join(project.root, `pause-${point}`);
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
 * The most contracts that billed at the same moment for one instance, from the journal.
 * Intervals that only overlap by less than `boundS` of market time (a replacement) are not counted.
 */
export async function mostAtOnce(project: TestProject, boundS = 0): Promise<number> {
  const events: { t: number; key: string; change: number }[] = [];
  const keys = new Map<number, string>();
  const rents = new Map<number, number>();
  for (const line of await project.market.journal()) {
    if (line.contractId === undefined) continue;
    if (line.kind === "rent") {
      const label = parseLabel(line.label as string);
      keys.set(line.contractId, label ? `${label.scope}:${label.name}` : "?");
      rents.set(line.contractId, line.t);
      events.push({ t: line.t + boundS, key: keys.get(line.contractId) ?? "?", change: 1 });
    }
    if (line.kind === "destroy" && line.t - (rents.get(line.contractId) ?? line.t) > boundS) {
      events.push({ t: line.t, key: keys.get(line.contractId) ?? "?", change: -1 });
    } else if (line.kind === "destroy") {
      events.push({
        t: (rents.get(line.contractId) ?? line.t) + boundS,
        key: keys.get(line.contractId) ?? "?",
        change: -1,
      });
    }
  }
  events.sort((a, b) => a.t - b.t || a.change - b.change);
  const now = new Map<string, number>();
  let most = 0;
  for (const { key, change } of events) {
    now.set(key, (now.get(key) ?? 0) + change);
    most = Math.max(most, now.get(key) ?? 0);
  }
  return most;
}

function isProvider(pid: number): boolean {
  try {
    return /dynamic-provider|pulumi-resource-/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}
