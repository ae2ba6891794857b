// Real daemon and real machines: only they show that a machine outlives the daemon that started it.
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { stopEmulator } from "../../../emulator/index.ts";
import { rentOne, show, startTestEmulator, type TestEmulator, until } from "../../helpers/emulator.ts";

interface Login {
  emulator: TestEmulator;
  id: number;
  ssh(command: string): Promise<string>;
}

/** An emulator with machines, and one that runs and lets us in. */
async function runningMachine(onstart: string | null = null): Promise<Login> {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-key-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const key = join(folder, "id");
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const emulator = await startTestEmulator({ noMachines: false });
  await emulator.call("POST", "/api/v0/ssh/", { ssh_key: readFileSync(`${key}.pub`, "utf8").trim() });
  const id = await rentOne(emulator, { onstart });
  const options = [
    "-i",
    key,
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "BatchMode=yes",
  ];
  return {
    emulator,
    id,
    async ssh(command) {
      const { ssh_port, ssh_user = "root" } = await show(emulator, id);
      const run = promisify(execFile)("ssh", [...options, "-p", String(ssh_port), `${ssh_user}@127.0.0.1`, command]);
      return (await run).stdout;
    },
  };
}

const kinds = (emulator: TestEmulator) => emulator.journalOnDisk().map((line) => line.kind);

test("takes a machine over that ran on while the daemon was dead, on the same ports", async () => {
  const { emulator, id, ssh } = await runningMachine();
  const before = await show(emulator, id);
  await ssh("(sleep 100 & echo $! > /tmp/pid) >/dev/null 2>&1");
  await emulator.kill();
  await emulator.start();
  await until(async () => (await show(emulator, id)).actual_status === "running");
  expect(await show(emulator, id)).toMatchObject({ ssh_port: before.ssh_port, ports: before.ports });
  expect(await ssh('kill -0 "$(cat /tmp/pid)" && echo alive')).toContain("alive");
  expect(kinds(emulator)).not.toContain("reboot");
});

test("boots machines again after a stop, with their disks", async () => {
  const { emulator, id, ssh } = await runningMachine("echo boot >> /root/boots");
  await until(async () => (await ssh("cat ~/boots 2>/dev/null || true")) !== "");
  await ssh("echo kept > ~/file; sync");
  expect(await stopEmulator(emulator.home)).toBe(true);
  await emulator.start();
  await until(async () => (await show(emulator, id)).actual_status === "running");
  expect(await ssh("cat ~/file")).toBe("kept\n");
  await until(async () => (await ssh("cat ~/boots")) === "boot\nboot\n");
  expect(kinds(emulator)).toContain("reboot");
});

test("ends the machines of a killed daemon when the emulator is stopped", async () => {
  const { emulator, ssh } = await runningMachine();
  const { ssh_port: port } = await show(emulator, (await emulator.admin.contracts())[0]?.id ?? 0);
  await ssh("true");
  await emulator.kill();
  expect(await stopEmulator(emulator.home)).toBe(false);
  const marks = execFileSync("ps", ["-eo", "args"]).toString();
  expect(marks).not.toContain(emulator.home);
  await expect(
    promisify(execFile)("ssh", ["-o", "BatchMode=yes", "-p", String(port), "127.0.0.1", "true"]),
  ).rejects.toThrow();
});

test("destroys what was destroyed while a machine was still being started", async () => {
  const emulator = await startTestEmulator({ noMachines: false });
  const { json } = await emulator.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]] });
  const { json: rented } = await emulator.call("PUT", `/api/v0/asks/${json.offers[0].id}/`, { image: "u" });
  expect((await emulator.call("DELETE", `/api/v0/instances/${rented.new_contract}/`, {})).status).toBe(200);
  await until(async () => kinds(emulator).includes("machine-down"));
  expect((await emulator.admin.contracts())[0]).toMatchObject({ phase: "destroyed", isMachineRunning: false });
});

test("lets a machine destroy itself from inside, with the key and the address that it was given", async () => {
  const { emulator, id, ssh } = await runningMachine();
  const call = `
    export $(tr '\\0' '\\n' < /proc/1/environ | grep -E '^(VAST_URL|CONTAINER_ID|CONTAINER_API_KEY)=');
    curl -sS -X DELETE "$VAST_URL/api/v0/instances/$CONTAINER_ID/" -H "Authorization: Bearer $CONTAINER_API_KEY"`;
  const { mode } = await emulator.admin.status();
  if (mode === "plain") return; // PID 1 is not the machine's there
  await ssh(call).catch(() => {}); // it dies under the connection
  await until(async () => (await show(emulator, id)) === null);
  expect(await emulator.admin.status()).toMatchObject({ contracts: 0 });
});
