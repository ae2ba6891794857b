// Real daemons: starting, stopping, and everything that can keep one from starting.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { UserError } from "../../../common/errors.ts";
import { emulatorStatus, startEmulator, stopEmulator } from "../../../emulator/index.ts";
import { offerIds, rentOne, startTestEmulator } from "../../helpers/emulator.ts";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-home-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function failureOf(promise: Promise<unknown>): Promise<UserError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

test("says exactly what a script needs, and keeps it in a private file", async () => {
  const { info, home } = await startTestEmulator();
  expect(Object.keys(info).sort()).toEqual(["apiKey", "home", "pid", "s3", "url"]);
  const address = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(info).toMatchObject({ url: address, s3: { endpoint: address, region: "us-east-1" }, home });
  expect(Object.keys(info.s3).sort()).toEqual(["accessKeyId", "endpoint", "region", "secretAccessKey"]);
  expect(statSync(join(home, "emulator.json")).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(join(home, "emulator.json"), "utf8"))).toMatchObject(info);
});

test("uses the emulator that runs, however many start it at once", async () => {
  const home = temporaryFolder();
  onTestFinished(() => stopEmulator(home).then(() => undefined));
  const started = await Promise.all([1, 2, 3, 4].map(() => startEmulator({ home, noMachines: true })));
  expect(new Set(started.map((info) => info.pid)).size).toBe(1);
  expect(await startEmulator({ home, noMachines: true })).toEqual(started[0]);
});

test("stops, and says whether there was something to stop", async () => {
  const { home } = await startTestEmulator();
  expect(await emulatorStatus(home)).toMatchObject({ contracts: 0 });
  expect(await stopEmulator(home)).toBe(true);
  expect(await emulatorStatus(home)).toBeUndefined();
  expect(await stopEmulator(home)).toBe(false);
  expect(await stopEmulator(join(home, "never"))).toBe(false);
});

test("runs side by side with another emulator, each with its own market", async () => {
  const [one, other] = [await startTestEmulator({ seed: 1 }), await startTestEmulator({ seed: 2 })];
  expect(one.info.url).not.toBe(other.info.url);
  expect(await offerIds(one)).not.toEqual(await offerIds(other));
  const id = await rentOne(one);
  expect((await one.admin.status()).contracts).toBe(1);
  expect((await other.admin.status()).contracts).toBe(0);
  expect((await other.call("GET", `/api/v0/instances/${id}/`)).json.instances).toBe(null);
  expect((await other.call("GET", "/api/v1/instances/", undefined, one.info.apiKey)).status).toBe(401);
  await stopEmulator(one.home);
  expect((await other.admin.status()).contracts).toBe(0);
});

test("says which port is taken", async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise((resolve) => blocker.close(() => resolve())));
  const { port } = blocker.address() as { port: number };
  const error = await failureOf(startEmulator({ home: temporaryFolder(), port, noMachines: true }));
  expect(error.message).toBe(
    [
      `VL_PORT_IN_USE: Port ${port} is taken by another program.`,
      "  why: The emulator listens on 127.0.0.1 at this port, and keeps its port from one start to the next.",
      `  do:  End the program that has it (ss -ltnp 'sport = :${port}' shows it), or start with another: --port N.`,
    ].join("\n"),
  );
});

test("shows the end of its log when it dies at the start", async () => {
  const home = temporaryFolder();
  writeFileSync(join(home, "state.json"), "{ nonsense");
  const error = await failureOf(startEmulator({ home, noMachines: true }));
  expect(error.code).toBe("VL_EMULATOR_FAILED");
  expect(error.message).toContain("The last lines of");
  expect(error.message).toContain("state.json is not valid JSON");
});

test("refuses options that make no sense", async () => {
  const error = await failureOf(startEmulator({ home: temporaryFolder(), speed: -1, noMachines: true }));
  expect(error.message).toContain("--speed wants a number from 0 to 1000000, not -1");
});

test.runIf(process.getuid?.() === 0 && process.platform === "linux")(
  "says that the disk is full, and loses nothing that it told",
  async () => {
    const disk = temporaryFolder();
    const home = join(disk, "home");
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=320k,mode=700", "tmpfs", disk]);
    onTestFinished(() => void execFileSync("umount", ["-l", disk]));
    const emulator = await startTestEmulator({ home });
    const told: number[] = [];
    let isDead = false;
    for (const offer of await offerIds(emulator)) {
      try {
        const { json } = await emulator.call("PUT", `/api/v0/asks/${offer}/`, {
          image: "u",
          label: "x".repeat(1000),
          onstart: "x".repeat(14_000),
        });
        told.push(json.new_contract);
      } catch {
        isDead = true; // the daemon ends itself rather than tell what it cannot keep
        break;
      }
    }
    expect(isDead).toBe(true);
    const error = await failureOf(startEmulator({ home, noMachines: true }));
    expect(error.code).toBe("VL_DISK_FULL");
    expect(error.message).toContain("The disk has no space left for the emulator's state.");
    execFileSync("mount", ["-o", "remount,size=4m", disk]);
    await emulator.start();
    const kept = (await emulator.admin.contracts()).map((one) => one.id);
    for (const id of told) expect(kept).toContain(id);
  },
);

test("says that the folder cannot be written", async () => {
  // A file where a folder should be: refused to root as well, unlike missing permissions.
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  const error = await failureOf(startEmulator({ home: join(file, "home"), noMachines: true }));
  expect(error.code).toBe("VL_EMULATOR_FAILED");
  expect(error.message).toContain(join(file, "home"));
});
