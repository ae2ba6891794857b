// The official client and a machine that runs: the address that it prints must really lead to a shell.
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { emulatorStatus } from "../../../emulator/index.ts";
import { show, startTestEmulator, until } from "../../helpers/emulator.ts";
import { ensureVastaiCli, openVastaiCli } from "../../helpers/vastai-cli.ts";

const cliAtHand = await ensureVastaiCli();

describe.skipIf(!cliAtHand.ok)("the official client", () => {
  test("makes a machine that its own ssh-url reaches, copies to it and back, and destroys it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vastlane-cli-machine-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const key = join(folder, "id");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const emulator = await startTestEmulator({ noMachines: false });
    const cli = await openVastaiCli(emulator.info);
    onTestFinished(() => cli.close());

    await cli.run("create", "ssh-key", readFileSync(`${key}.pub`, "utf8").trim(), "-y");
    const offers = JSON.parse((await cli.run("search", "offers", "num_gpus=1 direct_port_count>2", "--raw")).stdout);
    const create = ["create", "instance", String(offers[0].id), "--image", "ubuntu:22.04", "--disk", "10", "--raw"];
    const created = await cli.run(...create, "--ssh", "--direct", "--onstart-cmd", "echo started > /root/mark");
    const id: number = JSON.parse(created.stdout).new_contract;
    await until(async () => (await show(emulator, id)).actual_status === "running");

    const [, host = "", port = ""] =
      /ssh:\/\/root@(\S+):(\d+)/.exec((await cli.run("ssh-url", String(id))).stdout) ?? [];
    const user = (await show(emulator, id)).ssh_user ?? "root";
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
    const ssh = async (command: string) =>
      (await promisify(execFile)("ssh", [...options, "-p", port, `${user}@${host}`, command])).stdout;
    const status = await emulatorStatus(emulator.home);
    if (status?.mode === "isolated") {
      expect(await ssh("hostname")).toBe(`C.${id}\n`);
      await until(async () => (await ssh("cat /root/mark 2>/dev/null || true")) === "started\n");
      mkdirSync(join(folder, "there"));
      writeFileSync(join(folder, "there/a.txt"), "hello");
      await cli.run("copy", `local:${folder}/there/`, `C.${id}:/workspace/in/`, "-i", key);
      expect(await ssh("cat /workspace/in/a.txt")).toBe("hello");
      await cli.run("copy", `${id}:/workspace/in/`, join(folder, "back"), "-i", key);
      expect(readFileSync(join(folder, "back/a.txt"), "utf8")).toBe("hello");
    } else expect(await ssh("echo reached")).toContain("reached");

    expect((await cli.run("destroy", "instance", String(id), "-y")).stdout).toBe(`destroying instance ${id}.\n`);
    await until(async () =>
      ssh("true").then(
        () => false,
        () => true,
      ),
    );
    expect(await emulator.admin.status()).toMatchObject({ contracts: 0, billingPerHour: 0 });
  });
});
