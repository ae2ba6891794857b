/**
 * Pushes to an emulated machine by real OpenSSH: what shells, tar, rsync, clocks and a kill at any moment do to a
 * project's files can be seen nowhere else.
 */
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { REQUEST_VARIABLE } from "../../infra/deploy/request.ts";
import { type DeployMachine, startDeployMachine } from "../helpers/deploy-machine.ts";
import { freePort } from "../helpers/ports.ts";
import { makeKey } from "../helpers/sshd.ts";

const W = "$VASTLANE_WORKSPACE";

/** Fits y = 2x with the public modules alone, as a project does that is no clone of vastlane. */
const TRAINING = `
import { listCheckpoints } from "vastlane/checkpoint";
import { openExperiment } from "vastlane/experiment";
import { constant, filled, hashState, InterruptibleTrainer, sgd } from "vastlane/trainer";
const run = openExperiment({ name: "line", params: { steps: 20 } });
const model = {
  init: () => ({ slope: filled([1], 0) }),
  lossAndGrad({ slope }, xs) {
    const miss = xs.map((x) => x * (slope.data[0] - 2));
    const mean = (values) => values.reduce((a, b) => a + b) / xs.length;
    return { loss: mean(miss.map((m) => m * m)), grads: { slope: [mean(miss.map((m, i) => 2 * m * xs[i]))] } };
  },
};
const data = { count: 8, batch: (examples) => Array.from(examples, (example) => 1 + example / 8) };
const options = { optimizer: sgd(), schedule: constant(0.2), steps: run.params.steps, batchSize: 4 };
const { params } = await new InterruptibleTrainer({ run, model, data, ...options }).run();
console.log("slope", params.slope.data[0].toFixed(3), await hashState(listCheckpoints(run.checkpointDir).at(-1)));
`;

describe.each([
  ["a sandbox of the emulator, where it can make one", undefined],
  ["a machine that is a plain sshd of this user", true],
])("on %s", (_, plain) => {
  let machine: DeployMachine;
  beforeAll(async () => {
    machine = await startDeployMachine(plain === undefined ? {} : { plain });
  });
  afterAll(() => machine?.close());

  test("the first push brings the project, the environment and a running agent", async () => {
    machine.write({ "train.py": "print('hi')\n", "sub/data.txt": "1", ".env": "KEY=1", "node_modules/x": "" });
    const report = await machine.push(
      {
        secretNames: ["HF_TOKEN"],
        run: { params: { lr: 0.1, name: "it's" }, env: { NOTE: "two words" } },
      },
      { secrets: { HF_TOKEN: "s3cr3t 'quoted' $x", OTHER: "not asked for" } },
    );
    expect(report).toMatchObject({ sent: ["Pulumi.yaml", "sub/data.txt", "train.py"], kept: [], restarted: true });
    expect(report.log).toContain("left out: .env looks like a secret");
    expect(await machine.run(`cd ${W}/project && cat train.py sub/data.txt && ls -A`)).not.toContain(".env");
    expect(JSON.parse(await machine.run(`cat ${W}/.vastlane/heartbeat.json`))).toMatchObject({ state: "idle" });
  });

  test("every kind of session has the run's variables: a command, a login shell, sh, and Python", async () => {
    const shown = 'test/main|two words|s3cr3t \'quoted\' $x|True|{"lr":0.1,"name":"it\'s"}';
    const echo = 'echo "$VASTLANE_RUN_ID|$NOTE|$HF_TOKEN|$DEV_MODE|$VASTLANE_PARAMS"';
    expect(await machine.run(echo)).toBe(`${shown}\n`);
    expect(await machine.run(`env -i HOME="$HOME" USER=x bash -lc '${echo}'`)).toBe(`${shown}\n`);
    expect(await machine.run(`env -i HOME="$HOME" sh -lc '${echo}'`)).toBe(`${shown}\n`);
    const python = "import os; print(os.environ['VASTLANE_RUN_ID'], os.environ['VASTLANE_CHECKPOINT_DIR'])";
    expect(await machine.run(`python3 -c "${python}"`)).toMatch(/^test\/main \/.*\/persistent\/checkpoints\n$/);
  });

  test("what a person has set in the shell wins over the stack's value", async () => {
    expect(await machine.run("NOTE=mine bash -lc 'echo $NOTE'")).toBe("mine\n");
  });

  test("secrets lie in a private file, and pass through no command line", async () => {
    expect(await machine.run(`cd ${W}/.vastlane && stat -c '%a %n' secrets.env env run.json`)).toBe(
      "600 secrets.env\n600 env\n600 run.json\n",
    );
    const seen: string[] = [];
    const report = await machine.push(
      { secretNames: ["HF_TOKEN"], setup: `ps axww -o args >${W}/processes; echo looked` },
      {
        secrets: { HF_TOKEN: "S3CR3T-NEW" },
        log: () => seen.push(execFileSync("ps", ["axww", "-o", "args"], { encoding: "utf8" })),
      },
    );
    expect(await machine.run(`cat ${W}/.vastlane/secrets.env`)).toBe("HF_TOKEN=S3CR3T-NEW\n");
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.join("")).not.toContain("S3CR3T-NEW");
    expect(await machine.run(`grep -c S3CR3T-NEW ${W}/processes || true`)).toBe("0\n");
    expect(report.log.join("\n")).not.toContain("S3CR3T-NEW");
  });

  test("the second push sends only what changed, and the third nothing", async () => {
    machine.write({ "train.py": "print('changed')\n", "new.py": "" });
    expect(await machine.push()).toMatchObject({ sent: ["new.py", "train.py"], removed: [], kept: [], putAside: [] });
    expect(await machine.push()).toMatchObject({ sent: [], removed: [], kept: [], putAside: [], restarted: false });
    expect(await machine.run(`cat ${W}/project/train.py`)).toBe("print('changed')\n");
  });

  test("a file edited on the machine is kept and named, push after push", async () => {
    await machine.run(`echo edited >${W}/project/train.py`);
    for (let round = 0; round < 2; round++) {
      const report = await machine.push();
      expect(report).toMatchObject({ sent: [], kept: ["train.py"] });
      expect(report.log).toContain("kept, as edited on the machine: train.py");
    }
    expect(await machine.run(`cat ${W}/project/train.py`)).toBe("edited\n");
  });

  test("edited on both sides, the newer one stands, and the machine's version is put aside when it is not", async () => {
    machine.write({ "train.py": "older here\n" });
    utimesSync(join(machine.root, "train.py"), 1_000_000, 1_000_000);
    expect(await machine.push()).toMatchObject({ sent: [], kept: ["train.py"] });
    machine.write({ "train.py": "newer here\n" });
    const soon = Date.now() / 1000 + 5;
    utimesSync(join(machine.root, "train.py"), soon, soon);
    const report = await machine.push();
    expect(report).toMatchObject({ sent: ["train.py"], kept: [], putAside: ["train.py"] });
    expect(await machine.run(`cat ${W}/project/train.py '${report.aside}/train.py'`)).toBe("newer here\nedited\n");
  });

  test("a file that was made equal by hand is no conflict", async () => {
    machine.write({ "by-hand.py": "same" });
    await machine.run(`printf same >${W}/project/by-hand.py`);
    expect(await machine.push()).toMatchObject({ sent: [], kept: [], putAside: [] });
  });

  test("deleted here, it goes there too, unless it was edited there; other files there are not touched", async () => {
    machine.write({ "gone/a.py": "1", "gone/edited.py": "2", "old/b.py": "3" });
    await machine.push();
    await machine.run(`cd ${W}/project && echo more >>gone/edited.py && echo mine >own.txt`);
    rmSync(join(machine.root, "gone"), { recursive: true });
    rmSync(join(machine.root, "old"), { recursive: true });
    expect(await machine.push()).toMatchObject({ removed: ["gone/a.py", "old/b.py"], kept: ["gone/edited.py"] });
    expect(await machine.run(`cd ${W}/project && ls gone && cat own.txt && ls -d old || echo no old`)).toBe(
      "edited.py\nmine\nno old\n",
    );
  });

  test("names with blanks, quotes and other letters, links and executable bits arrive as they are", async () => {
    machine.write({ "a b/it's é.txt": "x", "run.sh": "#!/bin/sh\necho ran\n" });
    execFileSync("chmod", ["755", join(machine.root, "run.sh")]);
    execFileSync("ln", ["-s", "../run.sh", join(machine.root, "a b/link")]);
    await machine.push();
    expect(await machine.run(`cd ${W}/project && cat "a b/it's é.txt" && ./run.sh && "a b/link"`)).toBe("xran\nran\n");
    expect(await machine.push()).toMatchObject({ sent: [], kept: [] });
  });

  test("a failing setup script is an error with its last words; once corrected, the next push goes on", async () => {
    await expect(machine.push({ setup: "echo one; echo broken >&2; exit 3" })).rejects.toMatchObject({
      message: `VL_DEPLOY_FAILED: could not install the dependencies on the machine
  why: deps: running the setup script
       one
       broken
       deps: the setup script failed
  do:  correct the cause and run \`up\` again: it goes on where this one stopped`,
    });
    const report = await machine.push({ setup: `echo ran >>${W}/setup.log` });
    expect(report.sent).toEqual([]);
    await machine.push({ setup: `echo ran >>${W}/setup.log` });
    expect(await machine.run(`cat ${W}/setup.log`)).toBe("ran\n");
  });
});

describe("on one machine", () => {
  let machine: DeployMachine;
  beforeAll(async () => {
    machine = await startDeployMachine();
  });
  afterAll(() => machine?.close());

  test("the command starts, is restarted by changed code, and is left alone by an unchanged push", async () => {
    const run = { command: ["sh", "-c", "cat version >>../starts; exec sleep 100"], graceSeconds: 1 };
    machine.write({ version: "one\n" });
    await machine.push({ run });
    await eventually(async () => expect(await machine.run(`cat ${W}/starts`)).toBe("one\n"));
    expect(await machine.push({ run })).toMatchObject({ restarted: false });
    machine.write({ version: "two\n" });
    expect(await machine.push({ run })).toMatchObject({ restarted: true });
    await eventually(async () => expect(await machine.run(`cat ${W}/starts`)).toBe("one\ntwo\n"));
    expect(await machine.run("pgrep -cf 'sleep 100$' || true")).toBe("1\n");
    await machine.push({ run: { command: null } });
    await eventually(async () => expect(await machine.run("pgrep -cf 'sleep 100$' || true")).toBe("0\n"));
  });

  test("a project that is no clone of vastlane trains with the public modules", async () => {
    machine.write({ "train.mjs": TRAINING });
    await machine.push();
    const output = await machine.run(`cd ${W}/project && VASTLANE_PARAMS={} ${W}/.vastlane/node train.mjs 2>&1`);
    expect(output).toMatch(/\nslope 2\.000 \{\n {2}params: '[0-9a-f]{64}',\n/);
  });

  test("of a large file only the changed part goes over, by rsync", async () => {
    const bytes = Buffer.alloc(6e6);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at);
    writeFileSync(join(machine.root, "weights.bin"), bytes);
    expect((await machine.push()).sent).toEqual(["weights.bin"]);
    bytes.write("changed", 3e6);
    writeFileSync(join(machine.root, "weights.bin"), bytes);
    const report = await machine.push();
    expect(report.sent).toEqual(["weights.bin"]);
    expect(report.log.join("\n")).toMatch(/sending 1 large file \(6.0 MB\) by rsync\nsent \d+(\.\d)? kB of them in/);
    const sum = execFileSync("sha256sum", { input: bytes, encoding: "utf8" }).slice(0, 64);
    expect(await machine.run(`sha256sum <${W}/project/weights.bin`)).toContain(sum);
    expect(await machine.push()).toMatchObject({ sent: [], kept: [] });
    rmSync(join(machine.root, "weights.bin"));
  });

  test("killed at any moment, a push leaves every file whole, and the next one goes on without a false alarm", async () => {
    const files = (round: number) =>
      Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`many/${n}.txt`, `${round}\n`.repeat(2000)] as const));
    machine.write(files(0));
    await machine.push();
    const delays = [30, 120, 180, 220, 260, 300, 340, 400, 480, 600];
    for (const [round, delayMs] of delays.entries()) {
      machine.write(files(round + 1));
      await killedPush(machine, delayMs);
      const whole = await machine.run(
        `cd ${W}/project/many && for f in *; do [ $(sort -u $f | wc -l) = 1 ] && [ $(wc -l <$f) = 2000 ] || echo $f; done`,
      );
      expect(whole).toBe("");
    }
    machine.write(files(99));
    const report = await machine.push();
    expect(report).toMatchObject({ kept: [], putAside: [] });
    expect(await machine.run(`cd ${W}/project/many && cat * | sort -u; ls -A .. ; ls ../../.vastlane`)).toMatch(
      /^99\n/,
    );
    expect(await machine.run(`ls -A ${W}/.vastlane`)).not.toMatch(/incoming|manifest.next|bulk/);
  });

  test("a refused direct address falls back to the proxy", async () => {
    const [address] = machine.target.addresses;
    const direct = { host: "127.0.0.1", port: await freePort(), kind: "direct" as const };
    const target = { ...machine.target, addresses: [direct, { ...address, kind: "proxy" as const }] };
    expect((await machine.push({ target: target as typeof machine.target })).files).toBeGreaterThan(0);
  });

  test("another host key than the pinned one is refused before anything is sent", async () => {
    const target = {
      ...machine.target,
      hostKeys: [`ssh-ed25519 ${readFileSync(`${machine.target.identityFile}.pub`, "utf8").split(" ")[1]}`],
    };
    await expect(machine.push({ target })).rejects.toMatchObject({ code: "VL_SSH_FAILED", reason: "host-key-changed" });
  });

  test("a key that the machine does not accept is named with its fingerprint", async () => {
    const wrong = makeKey(join(machine.root, "..", "id_wrong"));
    await expect(machine.push({ target: { ...machine.target, identityFile: wrong } })).rejects.toMatchObject({
      reason: "permission-denied",
      why: expect.stringMatching(/keys offered: \S+id_wrong ED25519 SHA256:/),
    });
  });

  test("what a killed push had sent is carried through, and the next one waits for it and tidies up here", async () => {
    const started = script(machine, { setup: `sleep 3; echo went on >>${W}/setup.log` });
    await eventually(async () => expect(started.stderr()).toContain("running the setup script"));
    const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`vl-${started.child.pid}-`));
    started.child.kill("SIGKILL");
    await started.done;
    expect(left()).toHaveLength(1);
    const { log } = await machine.push();
    expect(left()).toEqual([]);
    expect(log).toContain("an earlier push is still at work on this machine; waiting for it");
    expect(await machine.run(`cat ${W}/setup.log`)).toBe("went on\n");
  });

  test("a full disk is told apart from other failures", async () => {
    machine.write({ "fresh.txt": "x".repeat(5e5) });
    machine.setFault("disk-full");
    try {
      await expect(machine.push()).rejects.toMatchObject({ code: "VL_DISK_FULL" });
    } finally {
      machine.setFault(null);
    }
    await eventually(async () => expect((await machine.push()).sent).toEqual(["fresh.txt"]));
  });

  test("the script prints progress on stderr and one line of JSON on stdout, and secrets come from .env", async () => {
    machine.write({ ".env": "HF_TOKEN=from-dotenv\n" });
    const result = await script(machine, { secretNames: ["HF_TOKEN", "MISSING"] }).done;
    expect(JSON.parse(result.stdout)).toMatchObject({ sent: 0, removed: 0, kept: [], putAside: [] });
    expect(result.stderr).toContain("the secret MISSING has no value here; it is not set on the machine\n");
    expect(result.stderr).toMatch(/machine ready in \d+\.\d s/);
    expect(result.code).toBe(0);
    expect(await machine.run(`cat ${W}/.vastlane/secrets.env`)).toBe("HF_TOKEN=from-dotenv\n");
  });

  test("a cancelled script ends at once with 130, leaves no ssh behind, and stops its work on the machine", async () => {
    const started = script(machine, { setup: "sleep 61" });
    await eventually(async () => expect(started.stderr()).toContain("running the setup script"));
    started.child.kill("SIGTERM");
    const result = await started.done;
    expect(result.code).toBe(130);
    expect(result.stderr).toContain("VL_CANCELLED: the deploy was cancelled");
    expect(sshProcesses(machine)).toEqual([]);
    expect(await machine.run("pgrep -cx -f 'sleep 61' || true")).toBe("0\n");
  });
});

/** The push script, as the engine's plugin runs it: from a folder below the project. */
function script(machine: DeployMachine, changes: Parameters<DeployMachine["request"]>[0] = {}) {
  const path = fileURLToPath(new URL("../../infra/deploy/push.ts", import.meta.url));
  const env = { ...process.env, [REQUEST_VARIABLE]: JSON.stringify(machine.request(changes)) };
  const child = spawn(process.execPath, [path], { cwd: machine.root, env, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const done = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, done, stderr: () => stderr };
}

async function killedPush(machine: DeployMachine, delayMs: number): Promise<void> {
  const { child, done } = script(machine);
  const timer = setTimeout(() => child.kill("SIGKILL"), delayMs);
  await done;
  clearTimeout(timer);
  await eventually(async () => expect(sshProcesses(machine)).toEqual([]));
}

/** Command lines of ssh clients to this machine: a push that died must not leave its connection behind. */
function sshProcesses(machine: DeployMachine): string[] {
  const port = ` -p ${machine.target.addresses[0]?.port} `;
  return execFileSync("ps", ["axww", "-o", "args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.startsWith("ssh ") && line.includes(port));
}

/** Looks again for up to 10 s until the expectation holds. */
async function eventually(expectation: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await expectation();
    } catch (error) {
      if (attempt >= 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
