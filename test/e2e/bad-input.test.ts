/**
 * What a person reads when something is wrong, by the CLI and the real engine: a code, the reason, what to do; and
 * nothing is left that bills. The messages are asserted as they are printed.
 */

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { engineChildren } from "../../infra/engine-process.ts";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { finish, makeProject, repository, type TestProject } from "../helpers/project.ts";

let project: TestProject;
beforeAll(async () => {
  project = await makeProject();
});
afterAll(() => project?.dispose());
afterEach(async () => {
  project.configure({});
  await project.market.clearFaults();
  await project.market.credit(25);
  expect(await project.alive()).toEqual([]);
});

/** Runs `vastlane up`, expects it to fail, and returns what it printed to stderr. */
async function refused(args = ["up"], env: Record<string, string> = {}, code = 1): Promise<string> {
  const run = await project.vastlane(args, env);
  expect(run.code, run.stdout + run.stderr).toBe(code);
  return run.stderr;
}

test("a wrong key is named as that, with the permissions that a key needs", async () => {
  const text = await refused(["up"], { VAST_URL: project.emulator.url, VAST_API_KEY: "f".repeat(64) });
  expect(text).toBe(
    "VL_ACCOUNT_REFUSED: the market does not accept the account key\n" +
      "  why: reading the account: auth (401): Invalid user key\n" +
      "  do:  check VASTAI_API_KEY (or VAST_API_KEY, or .env); a restricted key needs instance_read, instance_write, user_read and misc\n",
  );
  expect(text).not.toContain("ffff");
});

test("a missing key says where it is looked for, and how to try without one", async () => {
  project.configure({ market: "vast" });
  expect(await refused()).toBe(
    "VL_NO_KEY: no account key for Vast.ai\n" +
      "  why: neither VASTAI_API_KEY nor VAST_API_KEY is set, in the environment or in .env\n" +
      "  do:  copy the key from https://cloud.vast.ai/manage-keys/ into .env as VASTAI_API_KEY=..., or try without an account: npm run demo\n",
  );
});

test("unknown and wrong configuration is reported all at once, by the CLI and by raw pulumi", async () => {
  project.configure({ gpuu: {}, rental: { type: "spot" } });
  for (const text of [await refused(), (await project.pulumi(["preview"])).stdout]) {
    expect(text).toContain("VL_BAD_CONFIG: Pulumi.test.yaml has 2 problems");
    expect(text).toContain('vastlane:rental.type: wanted "on-demand" or "interruptible", got "spot"');
    expect(text).toContain("vastlane:gpuu: unknown key; did you mean gpu?");
    expect(text).not.toMatch(/\bat .*\.ts:\d+/);
  }
});

test("an impossible filter says what rules out how many, and the smallest change that helps", async () => {
  project.configure({ gpu: { names: ["RTX 4090"], minVramGB: 80 } });
  for (const text of [await refused(), (await project.pulumi(["preview"])).stdout]) {
    expect(text).toMatch(/VL_NO_OFFER: none of \d+ offers fits/);
    expect(text).toMatch(/vastlane:gpu\.minVramGB \(at least 80\) rules out \d+/);
    expect(text).toMatch(
      /smallest single change: vastlane:gpu\.minVramGB -> 24, which allows a 1x RTX 4090 at \$0\.\d+\/h/,
    );
  }
});

test("a price cap below every offer names the cap that would do", async () => {
  project.configure({ rental: { type: "interruptible", maxPricePerHour: 0.01 } });
  expect(await refused()).toMatch(/smallest single change: vastlane:rental\.maxPricePerHour -> 0\.\d+, which allows/);
});

test("no credit stops before anything is rented", async () => {
  await project.market.credit(0);
  expect(await refused()).toMatch(/VL_NO_CREDIT: the account has no credit left\n {2}why: .*\n {2}do: {2}add credit/);
});

test("a missing key file is found before anything is rented", async () => {
  project.configure({ ssh: { publicKey: "~/.ssh/vastlane-no-such-key.pub" } });
  for (const text of [await refused(), (await project.pulumi(["up", "--yes", "--skip-preview"])).stdout]) {
    expect(text).toMatch(/VL_KEY_FILE: there is no SSH key at .*vastlane-no-such-key\.pub/);
    expect(text).toContain("nothing was rented");
  }
});

test("a port that is in use is named, with the way to find who has it", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((ready) => taken.once("listening", ready));
  const { port } = taken.address() as { port: number };
  const home = mkdtempSync(join(tmpdir(), "vastlane-port-"));
  expect(await refused(["emulator", "start", "--home", home, "--port", String(port)])).toMatch(
    new RegExp(`VL_PORT_IN_USE: Port ${port} is taken`),
  );
  taken.close();
  rmSync(home, { recursive: true, force: true });
});

test("an emulator that does not run is named by every command that needs it", async () => {
  const env = { VASTLANE_EMULATOR_HOME: join(project.root, "no-emulator") };
  for (const args of [["up"], ["status"], ["offers"], ["destroy"]]) {
    expect(await refused(args, env)).toMatch(
      /VL_EMULATOR_DOWN: .*\n {2}why: .*\n {2}do: {2}start it with `npx vastlane emulator start`/,
    );
  }
});

test("a missing engine says where it was looked for and how to bring it", async () => {
  const env = {
    PULUMI_HOME: join(project.root, "no-pulumi"),
    VASTLANE_ENGINE_MIRROR: join(project.root, "no-mirror"),
    VASTLANE_OFFLINE: "1",
  };
  expect(await refused(["up"], env)).toMatch(/VL_ENGINE_MISSING: [\s\S]*VASTLANE_ENGINE_MIRROR/);
});

test("mistyped commands and flags suggest what was meant and exit 2", async () => {
  expect(await refused(["stauts"], {}, 2)).toContain("did you mean status?");
  expect(await refused(["up", "--stak", "x"], {}, 2)).toContain("did you mean --stack?");
});

test("a full disk stops before the rent, where it is still free", async () => {
  const state = join(project.root, "full");
  mkdirSync(state);
  const mounted = await finish(spawn("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", state]));
  if (mounted.code !== 0) return expect(process.getuid?.()).not.toBe(0); // only root may mount; others cannot make a full disk
  try {
    writeFileSync(join(state, "filler"), Buffer.alloc(40_000));
    const { code, stdout } = await project.pulumi(["up", "--yes", "--skip-preview"], {
      VASTLANE_STATE_DIR: state,
      VASTLANE_EMULATOR_HOME: project.emulator.home,
    });
    expect(code).not.toBe(0);
    expect(stdout).toMatch(/VL_DISK_FULL|ENOSPC|no space/i);
    expect(await project.alive()).toEqual([]);
  } finally {
    await finish(spawn("umount", [state]));
  }
});

test("Ctrl-C while a machine loads records it, exits 130, and destroy ends it", async () => {
  await project.market.fault("stuck-loading");
  const child = spawn(process.execPath, [join(repository, "cli/main.ts"), "up", "--stack", project.stack], {
    cwd: project.root,
    env: { ...project.env, CI: "true" },
  });
  const ended = finish(child);
  expect(await eventually(async () => (await project.alive()).length === 1)).toBe(true);
  child.kill("SIGINT");
  const { code, stderr } = await ended;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/VL_CANCELLED: up was interrupted\n {2}why: whatever was rented so far is recorded and bills/);
  const [id] = await project.alive();
  expect((await project.pulumi(["stack", "export"])).stdout).toContain(`"contractId": ${id}`);
  expect(await eventually(() => engineChildren(project.root).length === 0, 5000)).toBe(true);
  expect((await project.vastlane(["destroy"])).code).toBe(0);
});
