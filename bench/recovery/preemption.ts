/**
 * One preemption without a warning of a run under `vastlane watch`, as its user has it: the watcher is a process of
 * its own that knows only the market's list and the store. All times are of this computer's clock, which the emulated
 * machines share.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { WatchEvent } from "../../cli/watch/loop.ts";
import { repository, type TestProject } from "../../test/helpers/project.ts";

/** Seconds. */
export interface Recovery {
  /** From SIGKILL to the watcher's "recovering". */
  detect: number;
  /** To the first line of the deploy: SSH to the new machine works. */
  rentToSsh: number;
  /** To the first step that the new machine has made, by its metrics. */
  sshToFirstStep: number;
  total: number;
}

const EVERY_SECONDS = 10;
const PATIENCE_MS = 300_000;

/** `phase`: 0..1 of the watcher's period that passes between its first look and the kill. */
export async function preempt(project: TestProject, phase: number): Promise<Recovery> {
  await until("a step", () => firstStepAfter(project, 0));
  const watcher = startWatch(project);
  try {
    await watcher.event("seen");
    await sleep(phase * EVERY_SECONDS * 1000);
    const [contract = 0] = await project.alive();
    await project.market.preempt(contract);
    const killedAt = Date.now();
    const recovering = await watcher.event("recovering");
    await watcher.event("recovered");
    const firstStepAt = await until("a step on the new machine", () => firstStepAfter(project, killedAt));
    const detectedAt = Date.parse(recovering.time);
    const reachedAt = watcher.reachedAt() ?? Number.NaN;
    return {
      detect: (detectedAt - killedAt) / 1000,
      rentToSsh: (reachedAt - detectedAt) / 1000,
      sshToFirstStep: (firstStepAt - reachedAt) / 1000,
      total: (firstStepAt - killedAt) / 1000,
    };
  } finally {
    await watcher.end();
  }
}

/** Time of the first metrics line after `afterMs`, ms; undefined: there is none yet, or no machine that answers. */
async function firstStepAfter(project: TestProject, afterMs: number): Promise<number | undefined> {
  const name = `vastlane-${project.stack}`;
  const config = join(project.root, `.vastlane/ssh.d/${name}.conf`);
  const show = "cat /workspace/logs/metrics.jsonl 2>/dev/null || true";
  const { stdout } = await promisify(execFile)("ssh", ["-F", config, name, show], { maxBuffer: 2 ** 26 });
  for (const line of stdout.split("\n").slice(0, -1)) {
    const timeMs = (JSON.parse(line) as { time: number }).time * 1000;
    if (timeMs > afterMs) return timeMs;
  }
  return undefined;
}

function startWatch(project: TestProject) {
  const cli = join(repository, "cli/main.ts");
  const child: ChildProcess = spawn(
    process.execPath,
    [cli, "watch", "--json", "--every", String(EVERY_SECONDS), "--stack", project.stack],
    { cwd: project.root, env: { ...process.env, CI: "true", VASTLANE_STACK: project.stack } },
  );
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const events: WatchEvent[] = [];
  let rest = "";
  let errors = "";
  let reachedAt: number | undefined;
  child.stdout?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) events.push(JSON.parse(line));
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    errors += chunk;
    // The same sign as the demo's: the deploy begins when SSH has answered.
    if (/-deploy|deploy:/.test(String(chunk))) reachedAt ??= Date.now();
  });
  return {
    reachedAt: () => reachedAt,
    event: (name: WatchEvent["event"]): Promise<WatchEvent> =>
      until(`the watcher's "${name}"`, () => {
        const failed = events.find(({ event }) => event === "failed");
        if (failed || child.exitCode !== null) throw new Error(`the watcher failed: ${failed?.text ?? ""}\n${errors}`);
        return events.find(({ event }) => event === name);
      }),
    async end() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE_MS / 1000} s`);
    await sleep(200);
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
