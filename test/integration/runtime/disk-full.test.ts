/** The agent on a real disk of 4 MB that fills up: only a real ENOSPC shows what still works then. Needs root. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readFileIfThere } from "../../../common/files.ts";
import { identify, isAlive } from "../../../common/process.ts";
import { makeAgentMachine } from "../../helpers/agent-machine.ts";
import { canMount, mountSmallDisk } from "../../helpers/small-disk.ts";
import { findCommands } from "../../helpers/supervised.ts";

test.runIf(canMount)("keeps command and heartbeat alive on a full disk, and says so until there is space", async () => {
  const disk = mountSmallDisk(4);
  const machine = await makeAgentMachine(disk);
  onTestFinished(async () => {
    await machine.stop("--grace", "1");
  });
  const elsewhere = mkdtempSync(join(tmpdir(), "vastlane-ticks-"));
  onTestFinished(() => rmSync(elsewhere, { recursive: true }));
  const ticks = () => (readFileIfThere(join(elsewhere, "ticks")) ?? "").length;

  const job = `while :; do echo "a line of output"; printf . >> ${elsewhere}/ticks; [ -f ${elsewhere}/end ] && exit 0; sleep 0.02; done`;
  machine.setRun({ command: machine.script(job) });
  await machine.start();
  await machine.until(() => machine.output() !== "");
  fill(join(disk, "ballast"));

  const beat = await machine.until(() => (machine.heartbeat().warning ? machine.heartbeat() : undefined), 15_000);
  expect(beat.warning).toMatch(/disk full|the disk is nearly full/);
  expect(beat.state).toBe("running");
  const before = ticks();
  await machine.until(() => machine.heartbeat().time > beat.time && ticks() > before, 15_000);

  // A machine restart on the full disk: everything is killed, the agent comes up and starts the command again.
  for (const pid of [machine.agentPid(), ...findCommands(disk)]) process.kill(pid, "SIGKILL");
  await machine.until(() => findCommands(disk).length === 0);
  expect((await machine.start()).stdout).toContain("agent started");
  await machine.until(() => findCommands(disk).length === 1);
  expect(isAlive(identify(machine.agentPid()))).toBe(true);

  // The end of the run is remembered as soon as there is space for it, at the latest.
  writeFileSync(join(elsewhere, "end"), "");
  await machine.until(() => machine.heartbeat().state === "done");
  rmSync(join(disk, "ballast"));
  await machine.until(() => machine.heartbeat().warning === null, 15_000);
  await machine.start("--restart");
  await machine.until(() => machine.heartbeat().pid === machine.agentPid() && machine.heartbeat().state === "done");
  expect(machine.output().split("\n")[0]).toBe("a line of output");
});

function fill(path: string): void {
  try {
    execFileSync("dd", ["if=/dev/zero", `of=${path}`, "bs=1k"], { stdio: "ignore" });
  } catch {
    // dd fails when the disk is full, which is what it is for
  }
}
