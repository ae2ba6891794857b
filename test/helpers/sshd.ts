/**
 * A real sshd of this user on a loopback port, for tests of SSH and deploy that need no market around it.
 * `HOME` and `VASTLANE_WORKSPACE` of its sessions lie in a folder of its own, so that nothing of this
 * computer's user is touched.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { freePort } from "./ports.ts";

export interface TestSshd {
  folder: string;
  home: string;
  workspace: string;
  port: number;
  /** A private key that may log in. */
  key: string;
  /** `type base64` of the host key. */
  hostKey: string;
  user: string;
  target(overrides?: Partial<SshTarget>): SshTarget;
  /** Ends sshd and its sessions; the folder stays. */
  stop(): Promise<void>;
  /** Starts it again on the same port, with another host key when asked. */
  start(options?: { newHostKey?: boolean }): Promise<void>;
  /** Ends everything and removes the folder. */
  close(): Promise<void>;
}

export async function startSshd(options: { env?: Record<string, string> } = {}): Promise<TestSshd> {
  const folder = mkdtempSync(join(tmpdir(), "vl-sshd-"));
  const home = join(folder, "home");
  const workspace = join(folder, "workspace");
  mkdirSync(home);
  mkdirSync(workspace);
  const key = makeKey(join(folder, "id_test"));
  writeFileSync(join(folder, "authorized_keys"), readFileSync(`${key}.pub`));
  makeKey(join(folder, "host_key"));
  const port = await freePort();
  const env = { HOME: home, VASTLANE_WORKSPACE: workspace, VASTLANE_PLAIN: "1", ...options.env };
  const config = join(folder, "sshd_config");
  writeFileSync(
    config,
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${folder}/host_key`,
      `AuthorizedKeysFile ${folder}/authorized_keys`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "MaxStartups 100",
      "Subsystem sftp internal-sftp",
      `SetEnv ${Object.entries(env)
        .map(([name, value]) => `"${name}=${value}"`)
        .join(" ")}`,
      "",
    ].join("\n"),
  );
  // sshd as root wants its privilege separation folder, which only the service's own start makes.
  if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  let child: ChildProcess | undefined;
  const sshd: TestSshd = {
    folder,
    home,
    workspace,
    port,
    key,
    hostKey: publicKeyOf(join(folder, "host_key")),
    user: userInfo().username,
    target: (overrides = {}) => ({
      contractId: 7,
      user: sshd.user,
      addresses: [{ host: "127.0.0.1", port, kind: "direct" }],
      hostKeys: [sshd.hostKey],
      identityFile: key,
      ...overrides,
    }),
    async start({ newHostKey = false } = {}) {
      if (newHostKey) {
        rmSync(join(folder, "host_key"));
        sshd.hostKey = publicKeyOf(makeKey(join(folder, "host_key")));
      }
      child = spawn(sshdPath(), ["-D", "-e", "-f", config], { stdio: "ignore", detached: true });
      await answers(port);
    },
    async stop() {
      const running = child;
      child = undefined;
      if (!running?.pid || running.exitCode !== null) return;
      const gone = new Promise((resolve) => running.once("exit", resolve));
      for (const pid of [...descendants(running.pid), running.pid]) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {} // ended meanwhile
      }
      await gone;
    },
    async close() {
      await sshd.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await sshd.start();
  return sshd;
}

/** A new ed25519 key pair without passphrase at `path`; returns the path. */
export function makeKey(path: string): string {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "vastlane test", "-f", path]);
  return path;
}

/** Pids of all processes below `pid` (sessions of sshd, and what they started in the foreground). */
export function descendants(pid: number): number[] {
  const children = execFileSync("ps", ["-e", "-o", "pid=,ppid="], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => child as number);
  return children.flatMap((child) => [...descendants(child), child]);
}

function publicKeyOf(path: string): string {
  return readFileSync(`${path}.pub`, "utf8").split(" ").slice(0, 2).join(" ").trim();
}

function sshdPath(): string {
  return ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"].find(existsSync) ?? "sshd";
}

async function answers(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const ok = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the test's sshd does not answer on port ${port}`);
}
