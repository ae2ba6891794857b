/** The local stack and its lock with the real engine: what it writes, and what a killed one leaves behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { shellLines } from "../../cli/commands/env.ts";
import { ensureLocalStack, pulumiEnv, pulumiVariables, recoverLock, resolveEngine } from "../../cli/engine.ts";
import { projectRoot } from "../../cli/project.ts";
import { systemClock } from "../../common/clock.ts";
import { endOrphans } from "../../infra/engine-process.ts";
import { describeWithEngine } from "../helpers/engine.ts";

describeWithEngine("the local stack", () => {
  const root = mkdtempSync(join(tmpdir(), "vastlane engine ")); // with a blank: the back end's URL must stand it
  const options = {
    root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PULUMI_HOME: process.env.PULUMI_HOME },
  };
  const config = readFileSync(join(projectRoot, "Pulumi.local.yaml"), "utf8");
  const locks = join(root, ".vastlane/state/.pulumi/locks/organization/vastlane/local");
  const started: ChildProcess[] = [];

  beforeAll(async () => {
    writeFileSync(
      join(root, "Pulumi.yaml"),
      "name: vastlane\nruntime: { name: nodejs, options: { typescript: false } }\nmain: program.cjs\n",
    );
    writeFileSync(join(root, "Pulumi.local.yaml"), config);
    writeFileSync(join(root, "package.json"), "{}\n");
    writeFileSync(join(root, "program.cjs"), "if (process.env.TEST_WAIT) setTimeout(() => {}, 60_000);\n");
    symlinkSync(join(projectRoot, "node_modules"), join(root, "node_modules"));
    expect(await ensureLocalStack(options)).toBe(true);
  });

  afterAll(async () => {
    for (const child of started) killGroup(child);
    await endOrphans(root); // language hosts are in groups of their own
    rmSync(root, { recursive: true, force: true });
  });

  const pulumi = (...args: string[]) =>
    execa("pulumi", [...args, "--non-interactive"], {
      cwd: root,
      env: pulumiEnv("local", options),
      extendEnv: false,
      reject: false,
      all: true,
    });

  /** Starts an `up` whose program waits, and resolves when it holds the lock. */
  async function startUp(): Promise<ChildProcess> {
    const { path } = await resolveEngine(options);
    const env = { ...pulumiEnv("local", options), TEST_WAIT: "1" };
    const child = spawn(path, ["up", "--yes", "--skip-preview"], { cwd: root, env, detached: true, stdio: "ignore" });
    started.push(child);
    for (let tries = 0; tries < 400 && lockFiles().length === 0; tries++) await systemClock.sleep(25);
    expect(lockFiles()).toHaveLength(1);
    return child;
  }

  const lockFiles = () => readdirSync(locks).filter((name) => name.endsWith(".json"));

  test("is made once, and its file with the committed salt stays byte for byte", async () => {
    expect(await ensureLocalStack(options)).toBe(false);
    expect((await pulumi("up", "--yes", "--skip-preview")).exitCode).toBe(0);
    expect(readFileSync(join(root, "Pulumi.local.yaml"), "utf8")).toBe(config);
  });

  test("is ready for raw commands in a shell after eval", async () => {
    const lines = shellLines(pulumiVariables("local", options));
    const script = 'eval "$1"; pulumi version; pulumi stack --show-name; node --version';
    const { stdout } = await execa("bash", ["-c", script, "bash", lines], {
      cwd: root,
      env: options.env,
      extendEnv: false,
    });
    expect(stdout.split("\n")).toEqual(["v3.259.0", "local", process.version]);
  });

  test("is not taken from a live run, and is freed after that was killed", async () => {
    const child = await startUp();
    await expect(recoverLock("local", options)).rejects.toThrow(/^VL_LOCKED: .*\n {2}why: .*process \d+/);
    expect(lockFiles()).toHaveLength(1);

    const ended = new Promise((resolve) => child.once("exit", resolve));
    killGroup(child);
    await ended;
    const refused = await pulumi("up", "--yes", "--skip-preview");
    expect(refused.all).toContain("the stack is currently locked by 1 lock(s)");

    expect(await recoverLock("local", options)).toMatchObject([{ pid: child.pid }]);
    expect(readdirSync(locks)).toEqual([]);
    expect((await pulumi("destroy", "--yes", "--skip-preview")).exitCode).toBe(0);
  });
});

/** The engine and all that it started. */
function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // gone already
  }
}
