/** Needs real processes for a moment: what is tested is what the system says about them. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../common/clock.ts";
import { endProcess, identify, isAlive, signal, startedAt } from "../../../common/process.ts";

async function sleeper(script = "exec sleep 60"): Promise<ChildProcess & { pid: number }> {
  const child = spawn("sh", ["-c", `echo up; ${script}`], { stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return child as ChildProcess & { pid: number };
}

test("a process is told by pid and start time", async () => {
  const child = await sleeper();
  const id = identify(child.pid);
  expect(isAlive(id)).toBe(true);
  if (id.startTicks !== null) expect(isAlive({ ...id, startTicks: id.startTicks + 1 })).toBe(false);
});

test("one that has ended is not alive, and a signal to it is no fault", () => {
  const { pid } = spawnSync("true");
  expect(isAlive({ pid, startTicks: null })).toBe(false);
  expect(signal({ pid, startTicks: null }, "SIGTERM")).toBe(false);
});

test("a later process with the same pid is never signalled", async () => {
  const child = await sleeper();
  const { pid, startTicks } = identify(child.pid);
  if (startTicks === null) return;
  expect(signal({ pid, startTicks: startTicks - 1 }, "SIGKILL")).toBe(false);
  expect(isAlive({ pid, startTicks })).toBe(true);
});

test("ending is by SIGTERM, and by SIGKILL where that does not help", async () => {
  const polite = await sleeper();
  expect(await endProcess(identify(polite.pid), systemClock)).toBe(true);
  expect(polite.signalCode ?? "SIGTERM").toBe("SIGTERM");
  const deaf = await sleeper("trap '' TERM; while :; do sleep 0.05; done");
  expect(await endProcess(identify(deaf.pid), systemClock, 50)).toBe(true);
  expect(isAlive(identify(deaf.pid))).toBe(false);
});

test.runIf(process.platform === "linux")("when a process started is known to a second", () => {
  const at = startedAt(process.pid) ?? 0;
  expect(Math.abs(at - (Date.now() - process.uptime() * 1000))).toBeLessThan(3000);
  expect(startedAt(2 ** 22 + 1)).toBeUndefined();
});
