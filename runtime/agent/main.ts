/**
 * Entry of agent.mjs. Normally started by start.sh, in a session of its own; it may run for weeks and is the one
 * thing on the machine that must not fall over. `--retry-failed`: try a run again that was given up on.
 */
import { closeSync, mkdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { systemClock } from "../../common/clock.ts";
import { startAgent } from "./agent.ts";
import { takeLock } from "./lock.ts";
import { workspaceAt } from "./workspace.ts";

const workspace = workspaceAt(process.env.VASTLANE_WORKSPACE || "/workspace");
mkdirSync(workspace.state, { recursive: true });

process.on("SIGHUP", () => {}); // an SSH session that ends
process.on("uncaughtException", (error) => log(`internal: ${error.stack}`));
process.on("unhandledRejection", (reason) => log(`internal: ${(reason as Error)?.stack ?? reason}`));

try {
  await main();
} catch (error) {
  log(`internal: ${(error as Error).stack}`);
  process.exit(1);
}

async function main(): Promise<void> {
  const lock = await takeLock(workspace);
  if (!lock) return answer("running");
  rmSync(workspace.files.stopGrace, { force: true });
  const agent = startAgent({
    workspace,
    clock: systemClock,
    log,
    env: process.env,
    containerEnviron: readProcessOne(),
    retryFailed: process.argv.includes("--retry-failed"),
    heartbeatMs: Number(process.env.VASTLANE_HEARTBEAT_MS) || 5000,
  });
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, agent.terminate);
  answer(`started ${process.pid}`);
  await agent.ended;
  lock.close();
  log("ended");
  process.exit(0); // connections to the store may still be open
}

/** To agent.log, which is this process's stdout; a full disk must not throw. */
function log(line: string): void {
  try {
    writeSync(1, `${new Date().toISOString()} ${line}\n`);
  } catch {
    // nowhere left to say it
  }
}

/** Tells start.sh, which waits on this descriptor, and lets it go. */
function answer(line: string): void {
  const descriptor = Number(process.env.VASTLANE_READY_FD);
  if (!descriptor) return;
  try {
    writeSync(descriptor, `${line}\n`);
    closeSync(descriptor);
  } catch {
    // start.sh was killed meanwhile
  }
}

/** Environment of the container's first process; an emulated machine without a container keeps it in a file. */
function readProcessOne(): string | undefined {
  try {
    return readFileSync(process.env.VASTLANE_PID1_ENVIRON || "/proc/1/environ", "utf8");
  } catch {
    return undefined;
  }
}
