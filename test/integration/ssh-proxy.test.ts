/** The person's own `ssh vastlane-...`: real OpenSSH with our host entry, ProxyCommand and KnownHostsCommand. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { registerHost } from "../../infra/ssh/config-file.ts";
import { readPin } from "../../infra/ssh/known-hosts.ts";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { freePort } from "../helpers/ports.ts";
import { startSshd, type TestSshd } from "../helpers/sshd.ts";

const HOST = "vastlane-test";
let sshd: TestSshd;
let folder: string;
let configFile: string;

beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.close());

beforeEach(() => {
  if (folder) rmSync(folder, { recursive: true, force: true });
  folder = mkdtempSync(join(tmpdir(), "vl proxy-"));
  const script = fileURLToPath(new URL("../fixtures/ssh/proxy-cli.ts", import.meta.url));
  const entry = {
    host: HOST,
    user: sshd.user,
    localForward: [],
    serverAliveInterval: 15,
    identityFile: sshd.key,
    cli: [process.execPath, script],
  };
  configFile = registerHost(entry, { stateDir: folder, home: null }).configFile;
  machineIs(sshd.target());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function machineIs(target: SshTarget | "none" | "down"): void {
  writeFileSync(join(folder, "target"), typeof target === "string" ? target : JSON.stringify(target));
}

function ssh(command: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, TEST_TARGET: join(folder, "target"), TEST_STATE_DIR: folder };
  return new Promise((resolve) => {
    execFile("ssh", ["-F", configFile, HOST, command], { env }, (error, stdout, stderr) =>
      resolve({ code: (error?.code as number | undefined) ?? 0, stdout, stderr }),
    );
  });
}

test("ssh by alias reaches the machine, with no address and no key of it in any config", async () => {
  expect(await ssh("echo $((6 * 7))")).toMatchObject({ code: 0, stdout: "42\n" });
});

test("the alias follows to the next machine, and the old machine's host key does not get in its way", async () => {
  const second = await startSshd();
  try {
    await ssh("true");
    machineIs(second.target({ contractId: 8, identityFile: null }));
    writeFileSync(join(second.folder, "authorized_keys"), readFileSync(`${sshd.key}.pub`));
    expect(await ssh("echo $HOME")).toMatchObject({ code: 0, stdout: `${second.home}\n` });
  } finally {
    await second.close();
  }
});

test("a machine with another host key than the pinned one is refused", async () => {
  machineIs(sshd.target({ hostKeys: [`ssh-ed25519 ${"A".repeat(68)}`] }));
  const result = await ssh("echo reached");
  expect(result).toMatchObject({ code: 255, stdout: "" });
  expect(result.stderr).toMatch(/Host key verification failed|HOST IDENTIFICATION|invalid|No ED25519/);
});

test("a machine that this computer has never met is pinned at the first contact, and that is said", async () => {
  machineIs(sshd.target({ contractId: 21, hostKeys: null }));
  const first = await ssh("echo in");
  expect(first.stdout).toBe("in\n");
  expect(first.stderr).toContain("first contact with contract 21: its host key is pinned from now on");
  expect(readPin(folder, 21)).toEqual([sshd.hostKey]);
  expect((await ssh("true")).stderr).toBe("");
});

test("while the market is down, the machine of the last connection is used", async () => {
  await ssh("true");
  machineIs("down");
  expect(await ssh("echo in")).toMatchObject({
    stdout: "in\n",
    stderr: `vastlane: could not look ${HOST} up (VL_MARKET_DOWN: the market does not answer); using the machine of last time\n`,
  });
});

test("a stack without a machine says so, though there was one last time", async () => {
  await ssh("true");
  machineIs("none");
  const result = await ssh("true");
  expect(result.code).toBe(255);
  expect(result.stderr).toContain(`VL_NOT_FOUND: ${HOST} has no machine`);
});

test("a direct address that is silent, refuses or is no SSH server is passed over for the proxy", async () => {
  const proxy = { host: "127.0.0.1", port: sshd.port, kind: "proxy" as const };
  const silent = await listen((socket) => socket.on("data", () => {}));
  const other = await listen((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  try {
    for (const port of [await freePort(), portOf(other), portOf(silent)]) {
      machineIs(sshd.target({ addresses: [{ host: "127.0.0.1", port, kind: "direct" }, proxy] }));
      expect((await ssh("echo in")).stdout).toBe("in\n");
    }
  } finally {
    silent.close();
    other.close();
  }
});

test("large data arrives whole both ways", async () => {
  expect((await ssh("head -c 5000000 /dev/zero | tr '\\0' x | md5sum")).stdout).toContain("-");
  const result = await ssh("head -c 700000 /dev/zero | tr '\\0' x");
  expect(result.stdout.length).toBe(700000);
});

function listen(onSocket: (socket: import("node:net").Socket) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      onSocket(socket);
    });
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port;
}
