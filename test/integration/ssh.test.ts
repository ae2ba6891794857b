/** Real OpenSSH against a real sshd: only it shows what OpenSSH says and does when a connection fails. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Clock } from "../../common/clock.ts";
import { systemClock } from "../../common/clock.ts";
import { readPin } from "../../infra/ssh/known-hosts.ts";
import { runSsh, waitForSsh } from "../../infra/ssh/shell.ts";
import { freePort } from "../helpers/ports.ts";
import { makeKey, startSshd, type TestSshd } from "../helpers/sshd.ts";

let sshd: TestSshd;
let stateDir: string;

beforeAll(async () => {
  sshd = await startSshd();
  stateDir = mkdtempSync(join(tmpdir(), "vl-state-"));
});

afterAll(async () => {
  await sshd.close();
  rmSync(stateDir, { recursive: true, force: true });
});

const within = (ms: number) => ({ clock: systemClock, deadline: Date.now() + ms, stateDir });

test("runs a command, hands over stdin, and gives back both streams and the exit status", async () => {
  const result = await runSsh(sshd.target(), "cat; echo warned >&2; exit 3", { stdin: "sent over" });
  expect(result).toMatchObject({ stdout: "sent over", stderr: "warned\n", code: 3 });
});

test("an exit status of 255 that is the command's own is not taken for ssh's", async () => {
  expect((await runSsh(sshd.target(), "exit 255")).code).toBe(255);
});

test("the first contact pins the host key in a private file and later contacts demand it", async () => {
  const target = sshd.target({ contractId: 11, hostKeys: null });
  const first = await waitForSsh(target, within(10_000));
  expect(first.hostKeys).toEqual([sshd.hostKey]);
  expect(readPin(stateDir, 11)).toEqual([sshd.hostKey]);
  expect(statSync(join(stateDir, "known_hosts.d", "11")).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(stateDir, "known_hosts.d", "11"), "utf8")).toBe(`vastlane-contract-11 ${sshd.hostKey}\n`);
});

test("a changed host key is refused at once, though the deadline is far", async () => {
  const pinned = sshd.hostKey;
  await sshd.stop();
  await sshd.start({ newHostKey: true });
  await expect(waitForSsh(sshd.target({ hostKeys: [pinned] }), within(60_000))).rejects.toMatchObject({
    code: "VL_SSH_FAILED",
    reason: "host-key-changed",
    message: [
      `VL_SSH_FAILED: no SSH connection to the machine of contract 7 as ${sshd.user}`,
      `  why: 127.0.0.1:${sshd.port} (direct): the machine shows another host key than the one pinned at the first contact`,
      "  do:  somebody may be in between, or the address now belongs to another machine: do not trust it; destroy this machine",
    ].join("\n"),
  });
});

test("a wrong key is named with its path and fingerprint", async () => {
  const wrong = makeKey(join(sshd.folder, "id_wrong"));
  await expect(runSsh(sshd.target({ identityFile: wrong }), "true")).rejects.toMatchObject({
    reason: "permission-denied",
    why: expect.stringMatching(new RegExp(`keys offered: ${wrong} ED25519 SHA256:\\S+$`)),
  });
});

test("a key file that is missing is named as well", async () => {
  await expect(runSsh(sshd.target({ identityFile: "/nowhere/id_none" }), "true")).rejects.toMatchObject({
    reason: "permission-denied",
    why: expect.stringContaining("key used: /nowhere/id_none (missing, unreadable or locked)"),
  });
});

test("a refused direct address falls back to the proxy, which is then tried first", async () => {
  const closed = await freePort();
  const target = sshd.target({
    contractId: 12,
    addresses: [
      { host: "127.0.0.1", port: closed, kind: "direct" },
      { host: "127.0.0.1", port: sshd.port, kind: "proxy" },
    ],
  });
  expect((await runSsh(target, "true")).address.kind).toBe("proxy");
  const swapped = { ...target, addresses: target.addresses.map((a) => ({ ...a })) };
  expect((await runSsh(swapped, "true")).address.kind).toBe("proxy");
});

test("a machine that never answers ends at the deadline with every address and reason", async () => {
  const closed = await freePort();
  const addresses = [{ host: "127.0.0.1", port: closed, kind: "direct" as const }];
  let now = 0;
  const clock: Clock = {
    now: () => now,
    sleep: async (ms) => {
      now += ms;
    },
  };
  await expect(
    waitForSsh(sshd.target({ contractId: 13, addresses }), { clock, deadline: 5000, stateDir }),
  ).rejects.toMatchObject({ reason: "refused", why: `127.0.0.1:${closed} (direct): the connection was refused` });
  expect(now).toBeGreaterThan(1000);
});

test("waits for a machine whose sshd comes up late", async () => {
  await sshd.stop();
  const waiting = waitForSsh(sshd.target({ contractId: 14, hostKeys: null }), within(20_000));
  await sshd.start();
  expect((await waiting).hostKeys).toEqual([sshd.hostKey]);
});

test("a command over its time limit is ended and reported as a timeout", async () => {
  await expect(runSsh(sshd.target(), "sleep 60", { timeoutMs: 700 })).rejects.toMatchObject({ reason: "timeout" });
});

test("an aborted call ends with the reason of the abort", async () => {
  const controller = new AbortController();
  const running = runSsh(sshd.target(), "sleep 60", { signal: controller.signal });
  controller.abort(new Error("stop now"));
  await expect(running).rejects.toThrow("stop now");
});

test("a connection that breaks while the command runs is not repeated elsewhere", async () => {
  const target = sshd.target({
    contractId: 15,
    addresses: [
      { host: "127.0.0.1", port: sshd.port, kind: "direct" },
      { host: "127.0.0.1", port: sshd.port, kind: "proxy" },
    ],
  });
  // The session's own sshd process is the parent of the shell that runs the command.
  const running = runSsh(target, `echo ran >> ${sshd.folder}/runs; kill -9 $PPID; sleep 5`);
  await expect(running).rejects.toMatchObject({ reason: "lost" });
  expect(readFileSync(join(sshd.folder, "runs"), "utf8")).toBe("ran\n");
});
