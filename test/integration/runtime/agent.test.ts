/** The agent as a real process under real signals: what no table of states can show. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readFileIfThere } from "../../../common/files.ts";
import { identify, isAlive } from "../../../common/process.ts";
import { type AgentMachine, makeAgentMachine } from "../../helpers/agent-machine.ts";
import { findCommands, findSupervised, sessionOf } from "../../helpers/supervised.ts";

let machine: AgentMachine;
beforeEach(async () => {
  machine = await makeAgentMachine();
});
afterEach(() => machine.end());

/** Says hello, notes each start, counts seconds, saves and leaves on SIGTERM. */
const PATIENT = `
echo started >> starts
echo hello from $VASTLANE_RUN_ID
trap 'echo saved >> saves; exit 143' TERM
while :; do sleep 0.05; done
`;
const lines = (name: string) => (readFileIfThere(join(machine.root, "project", name)) ?? "").split("\n").length - 1;

describe("start", () => {
  test("returns quickly once the agent is up, captures both streams, and writes a heartbeat", async () => {
    machine.setRun({ command: ["sh", "-c", "echo out; echo err >&2; echo also > /dev/stderr; sleep 60"] });
    const { code, stdout, seconds } = await machine.start();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^vastlane: agent started \(process \d+\)\n$/);
    expect(seconds).toBeLessThan(1); // 0.1 s on an idle machine
    await machine.until(() => machine.output() === "out\nerr\nalso\n");
    const beat = await machine.until(() => (machine.heartbeat().childPid ? machine.heartbeat() : undefined));
    expect(beat).toMatchObject({
      state: "running",
      pid: machine.agentPid(),
      restarts: 0,
      runId: "test/run",
      warning: null,
    });
    expect(isAlive(identify(beat.childPid ?? 0))).toBe(true);
  });

  test("has sessions of their own for agent and command, which no end of an SSH session reaches", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    await machine.start();
    const child = await machine.until(() => machine.heartbeat().childPid);
    for (const pid of [machine.agentPid(), child]) expect(sessionOf(pid)).toBe(pid);
    process.kill(machine.agentPid(), "SIGHUP");
    const { time } = machine.heartbeat();
    await machine.until(() => machine.heartbeat().time > time);
    expect(machine.heartbeat()).toMatchObject({ state: "running", childPid: child });
  });

  test("does nothing when an agent runs already", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    await machine.start();
    const again = await machine.start();
    expect(again.stdout).toMatch(/agent runs already/);
    expect(again.seconds).toBeLessThan(0.5);
    await machine.until(() => lines("starts") === 1);
  });

  test("leaves one agent when several start at once", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    const results = await Promise.all(Array.from({ length: 5 }, () => machine.start()));
    expect(results.map((result) => result.code)).toEqual([0, 0, 0, 0, 0]);
    expect(results.filter((result) => result.stdout.includes("agent started"))).toHaveLength(1);
    await machine.until(() => lines("starts") === 1);
    expect(findCommands(machine.root)).toHaveLength(1);
  });

  test("stays idle with a heartbeat when there is no command, and when there is no run.json", async () => {
    await machine.start();
    await machine.until(() => machine.heartbeat().state === "idle");
    machine.setRun({ command: null });
    await machine.start("--restart");
    await machine.until(() => machine.heartbeat().state === "idle" && machine.heartbeat().runId === "test/run");
  });

  test("gives the command its contract: dirs, params, mode, secrets, and no key of the machine", async () => {
    const environment = join(machine.root, "env.txt");
    writeFileSync(machine.workspace.files.secrets, "HF_TOKEN=hf=1\n", { mode: 0o600 });
    machine.setRun({
      command: ["sh", "-c", `env > ${environment}`],
      params: { steps: 5 },
      mode: "prod",
      env: { EXTRA: "yes" },
    });
    process.env.CONTAINER_API_KEY = "secret-of-the-machine";
    await machine.start();
    delete process.env.CONTAINER_API_KEY;
    await machine.until(() => machine.heartbeat().state === "done");
    const env = readFileSync(environment, "utf8").split("\n");
    expect(env).toEqual(
      expect.arrayContaining([
        "VASTLANE_RUN_ID=test/run",
        `VASTLANE_CHECKPOINT_DIR=${machine.root}/persistent/checkpoints`,
        `VASTLANE_LOG_DIR=${machine.root}/logs`,
        "VASTLANE_RESUME_FROM=",
        'VASTLANE_PARAMS={"steps":5}',
        "DEV_MODE=False",
        "HF_TOKEN=hf=1",
        "EXTRA=yes",
      ]),
    );
    expect(env.join("\n")).not.toContain("secret-of-the-machine");
  });

  test("says what is missing when there is no agent bundle", async () => {
    writeFileSync(join(machine.workspace.state, "agent.mjs"), "throw new Error('broken bundle')");
    const { code, stderr } = await machine.start();
    expect(code).toBe(1);
    expect(stderr).toContain("the agent did not start");
    expect(stderr).toContain("broken bundle");
  });
});

describe("stop", () => {
  test("lets the command save on SIGTERM, then ends", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    await machine.start();
    await machine.until(() => lines("starts") === 1);
    const { stdout, seconds } = await machine.stop();
    expect(stdout).toBe("vastlane: agent stopped\n");
    expect(seconds).toBeLessThan(2);
    expect(lines("saves")).toBe(1);
    expect(machine.heartbeat()).toMatchObject({ state: "stopped", childPid: null, exitCode: 143 });
    expect(findSupervised(machine.root)).toEqual([]);
  });

  test("kills the whole process group when the grace is over", async () => {
    machine.setRun({ command: machine.script("trap '' TERM; sleep 1000 & sleep 1001 & echo up; wait; wait") });
    await machine.start();
    await machine.until(() => machine.output() === "up\n" && findSupervised(machine.root).length === 3);
    const { seconds } = await machine.stop("--grace", "0.3");
    expect(seconds).toBeLessThan(2);
    expect(findSupervised(machine.root)).toEqual([]);
    expect(machine.heartbeat()).toMatchObject({ state: "stopped", exitCode: 137 });
  });

  test("reaches the trainer behind a shell that dies of SIGTERM at once", async () => {
    writeFileSync(join(machine.root, "project", "trainer.sh"), PATIENT);
    machine.setRun({ command: ["sh", "-c", "sh trainer.sh; true"] });
    await machine.start();
    await machine.until(() => lines("starts") === 1);
    await machine.stop();
    expect(lines("saves")).toBe(1);
    expect(findSupervised(machine.root)).toEqual([]);
  });

  test("is content when nothing runs", async () => {
    expect((await machine.stop("--grace", "1")).code).toBe(0);
  });
});

describe("redeploy", () => {
  test("ends the old command with its grace and starts the new one", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    await machine.start();
    await machine.until(() => lines("starts") === 1);
    const before = machine.agentPid();
    machine.setRun({ command: machine.script(PATIENT), contentHash: "h2" });
    const { code, stdout } = await machine.start("--restart");
    expect(code).toBe(0);
    expect(stdout).toContain("agent started");
    expect(machine.agentPid()).not.toBe(before);
    await machine.until(() => lines("starts") === 2);
    expect(lines("saves")).toBe(1);
    expect(findCommands(machine.root)).toHaveLength(1);
  });
});

describe("an agent that was killed", () => {
  test("leaves the command unharmed; the next agent lets it save, and starts it again", async () => {
    machine.setRun({ command: machine.script(`${PATIENT.replace("sleep 0.05", "echo tick; sleep 0.05")}`) });
    await machine.start();
    const child = await machine.until(() => machine.output().includes("tick") && machine.heartbeat().childPid);
    process.kill(machine.agentPid(), "SIGKILL");
    await machine.until(() => !isAlive(identify(machine.agentPid())));
    await new Promise((resolve) => setTimeout(resolve, 200)); // it writes on, with nobody reading
    expect(isAlive(identify(Number(child)))).toBe(true);
    expect((await machine.start()).stdout).toContain("agent started");
    await machine.until(() => lines("starts") === 2);
    expect(lines("saves")).toBe(1);
    expect(findCommands(machine.root)).toHaveLength(1);
  });

  test("is not mistaken for a later process with its id", async () => {
    machine.setRun({ command: machine.script(PATIENT) });
    const innocent = identify(process.pid);
    for (const startTicks of [innocent.startTicks, (innocent.startTicks ?? 0) + 1]) {
      writeFileSync(machine.workspace.files.agent, JSON.stringify({ pid: process.pid, startTicks, commandPid: null }));
      expect((await machine.start()).stdout).toContain("agent started");
      await machine.stop();
    }
  });
});

describe("the end of the command", () => {
  test("with exit 0 is remembered: neither a machine start nor a redeploy of the same content runs it again", async () => {
    machine.setRun({ command: machine.script("echo once >> starts") });
    await machine.start();
    await machine.until(() => machine.heartbeat().state === "done");
    for (const args of [[], ["--restart"]]) {
      process.kill(machine.agentPid(), "SIGKILL");
      await machine.start(...args);
      await machine.until(() => machine.heartbeat().pid === machine.agentPid() && machine.heartbeat().state === "done");
    }
    expect(lines("starts")).toBe(1);
    machine.setRun({ command: machine.script("echo once >> starts"), contentHash: "h2" });
    await machine.start("--restart");
    await machine.until(() => lines("starts") === 2);
  });

  test("by a crash is tried again from the newest checkpoint, and given up after maxCrashes", async () => {
    const job = `echo start from "$(basename "$VASTLANE_RESUME_FROM")"; mkdir -p $VASTLANE_CHECKPOINT_DIR/step-10; echo > $VASTLANE_CHECKPOINT_DIR/step-10/w; exit 3`;
    machine.setRun({ command: machine.script(job), maxCrashes: 2 });
    await machine.start();
    await machine.until(() => machine.heartbeat().state === "failed");
    expect(machine.output()).toBe(
      [
        "start from ",
        "[vastlane] the command ended with exit code 3; next try in 1 s (crash 1 of at most 2 without progress)",
        "start from step-10",
        "[vastlane] the command ended with exit code 3; given up after 2 crashes without progress",
        "",
      ].join("\n"),
    );
    expect(machine.heartbeat()).toMatchObject({ exitCode: 3, restarts: 1, checkpoint: "step-10" });
    process.kill(machine.agentPid(), "SIGKILL");
    await machine.start();
    await machine.until(() => machine.heartbeat().pid === machine.agentPid() && machine.heartbeat().state === "failed");
    await machine.start("--restart");
    await machine.until(() => machine.output().match(/start from/g)?.length === 3);
  });

  test("shows step and loss of metrics.jsonl, and steps count as progress", async () => {
    const job = `
n=$(cat n 2>/dev/null || echo 0); n=$((n + 1)); echo $n > n
mkdir -p $VASTLANE_LOG_DIR; echo "{\\"step\\": $n, \\"loss\\": $n.5}" >> $VASTLANE_LOG_DIR/metrics.jsonl
[ $n -ge 3 ] || exit 1`;
    machine.setRun({ command: machine.script(job), maxCrashes: 2 });
    await machine.start();
    await machine.until(() => machine.heartbeat().state === "done", 20_000);
    expect(machine.heartbeat()).toMatchObject({ step: 3, loss: 3.5, exitCode: 0, restarts: 2 });
  });

  test("before it began: a program that is not there is a crash with a reason", async () => {
    machine.setRun({ command: ["no-such-program"], maxCrashes: 1 });
    await machine.start();
    const beat = await machine.until(() => (machine.heartbeat().state === "failed" ? machine.heartbeat() : undefined));
    expect(beat).toMatchObject({ exitCode: 127, warning: expect.stringContaining("cannot start no-such-program") });
    expect(machine.output()).toContain("cannot start no-such-program");
  });

  test("comes by SIGTERM when maxHours since the machine's first start are over; the agent stays", async () => {
    machine.setRun({ command: machine.script(PATIENT), maxHours: 1 });
    writeFileSync(machine.workspace.files.born, String(Math.floor(Date.now() / 1000) - 3600 + 40));
    await machine.start();
    await machine.until(() => lines("starts") === 1);
    await machine.until(() => machine.heartbeat().state === "stopped", 30_000);
    expect(lines("saves")).toBe(1);
    expect(machine.heartbeat().warning).toBe("the time limit of 1 hours is over");
    expect(isAlive(identify(machine.agentPid()))).toBe(true);
  });
});

test("a run.json that cannot be used is said in the heartbeat", async () => {
  machine.setRun({ command: [] });
  await machine.start();
  await machine.until(() => machine.heartbeat().state === "failed");
  expect(machine.heartbeat().warning).toBe(
    "run.json cannot be used: command must be null or a list of texts, program first",
  );
});
