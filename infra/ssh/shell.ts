/**
 * Runs commands on a machine through the system's OpenSSH, and makes the first contact.
 * Each call is one connection; a push that needs several shares one by `ControlMaster` (infra/deploy/push.ts).
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";
import { readFileIfThere } from "../../common/files.ts";
import { type Log, silent } from "../../common/log.ts";
import { type Attempt, failureOf, reasonOf, SshFailure } from "./failure.ts";
import { parseKnownHosts, readPin, renderKnownHosts, writePin } from "./known-hosts.ts";
import { addressText, hostKeyAlias, type SshAddress, type SshTarget, sshArguments } from "./target.ts";

export interface RunSshOptions {
  stdin?: string | Uint8Array;
  /** Limit for the whole call on one address, in milliseconds. Default 60 s. */
  timeoutMs?: number;
  /** Limit for the TCP connection and key exchange on one address. Default 10 s. */
  connectTimeoutSeconds?: number;
  signal?: AbortSignal;
}

export interface SshResult {
  stdout: string;
  stderr: string;
  /** The remote command's exit status; 255 can only be its own, as ssh's failures are thrown. */
  code: number;
  address: SshAddress;
}

/** Which address of a contract answered last in this process; it is tried first the next time. */
const answered = new Map<number, string>();

/**
 * Runs `command` with the remote user's shell, direct address first, then the proxy.
 * Another address is tried only while the command cannot have begun.
 * @throws SshFailure when no address works, the abort reason of `signal`.
 */
export async function runSsh(target: SshTarget, command: string, options: RunSshOptions = {}): Promise<SshResult> {
  return inPrivateFolder((folder) => {
    const knownHostsFile = join(folder, "known_hosts");
    const keys = target.hostKeys ?? [];
    writeFileSync(knownHostsFile, renderKnownHosts(hostKeyAlias(target.contractId), keys), { mode: 0o600 });
    return runWith(target, command, knownHostsFile, folder, options);
  });
}

export interface WaitForSshOptions {
  clock: Clock;
  signal?: AbortSignal;
  /** Milliseconds since the epoch at which waiting ends. */
  deadline: number;
  /** The project's `.vastlane` folder, where the pin is kept. */
  stateDir: string;
  /** A refused key is normal while a machine boots (its keys arrive late); after this long it is final. Default 90 s. */
  keyGraceMs?: number;
  log?: Log;
}

/**
 * Waits until the machine really answers SSH, and pins its host key at the first contact.
 * Keys pinned before (in the target, or on this computer) are demanded: another key ends the wait at once.
 * @throws SshFailure when the deadline passes, the host key is another, or the key is refused for too long.
 */
export async function waitForSsh(
  target: SshTarget,
  options: WaitForSshOptions,
): Promise<{ hostKeys: string[]; address: SshAddress }> {
  const { clock, signal, log = silent } = options;
  const started = clock.now();
  const pinned = target.hostKeys ?? readPin(options.stateDir, target.contractId);
  let pauseMs = 200;
  for (;;) {
    try {
      const { keys, address } = await contact({ ...target, hostKeys: pinned }, signal);
      const hostKeys = pinned ?? keys;
      if (readPin(options.stateDir, target.contractId) === null)
        writePin(options.stateDir, target.contractId, hostKeys);
      return { hostKeys, address };
    } catch (error) {
      if (!(error instanceof SshFailure)) throw error;
      const now = clock.now();
      const isFinal =
        error.reason === "host-key-changed" ||
        error.reason === "ssh-missing" ||
        (error.reason === "permission-denied" && now - started >= (options.keyGraceMs ?? 90_000));
      if (isFinal || now + pauseMs >= options.deadline) throw error;
      log(`ssh to contract ${target.contractId}: ${error.reason}; trying again`);
      await clock.sleep(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, 3000);
    }
  }
}

/** One log-in that runs nothing; returns the keys that OpenSSH accepted and wrote down. */
async function contact(target: SshTarget, signal?: AbortSignal): Promise<{ keys: string[]; address: SshAddress }> {
  return inPrivateFolder(async (folder) => {
    const knownHostsFile = join(folder, "known_hosts");
    const alias = hostKeyAlias(target.contractId);
    writeFileSync(knownHostsFile, renderKnownHosts(alias, target.hostKeys ?? []), { mode: 0o600 });
    const { address } = await runWith(target, "exit 0", knownHostsFile, folder, {
      timeoutMs: 20_000,
      ...(signal === undefined ? {} : { signal }),
    });
    return { keys: parseKnownHosts(readFileSync(knownHostsFile, "utf8"), alias), address };
  });
}

async function runWith(
  target: SshTarget,
  command: string,
  knownHostsFile: string,
  folder: string,
  options: RunSshOptions,
): Promise<SshResult> {
  const attempts: Attempt[] = [];
  for (const address of inOrder(target)) {
    const logFile = join(folder, `ssh-${address.kind}.log`);
    const connect = options.connectTimeoutSeconds;
    const base = {
      knownHostsFile,
      logFile,
      ...(connect === undefined ? {} : { connectTimeoutSeconds: connect }),
    };
    const result = await spawnSsh([...sshArguments(target, address, base), command], options);
    const log = `${readFileIfThere(logFile) ?? ""}${result.code === 255 ? closedNote(result.stderr) : ""}`;
    if (result.code !== null && (result.code !== 255 || log === "")) {
      answered.set(target.contractId, addressText(address));
      return { stdout: result.stdout, stderr: result.stderr, code: result.code, address };
    }
    const reason = result.code === null ? "timeout" : reasonOf(log);
    attempts.push({ address, reason, log });
    if (reason === "lost" || (result.code === null && log === "")) break;
  }
  const denied = attempts.find((attempt) => attempt.reason === "permission-denied");
  const offered = denied === undefined ? [] : await offeredKeys(target, denied.address, knownHostsFile, folder);
  throw failureOf(target, attempts, offered);
}

/** OpenSSH says that a session broke on stderr, behind the remote command's own output, and not in its log. */
function closedNote(stderr: string): string {
  return /^Connection to \S+ closed by remote host\.\r?\n$/m.exec(stderr)?.[0] ?? "";
}

/** The target's addresses, the one that answered last in front. */
function inOrder(target: SshTarget): SshAddress[] {
  const last = answered.get(target.contractId);
  return [...target.addresses].sort((a, b) => Number(addressText(b) === last) - Number(addressText(a) === last));
}

/**
 * Asks OpenSSH, in a second and talkative attempt, which keys it offers: path, type and fingerprint. For messages;
 * `folder` takes its log.
 */
export async function offeredKeys(
  target: SshTarget,
  address: SshAddress,
  knownHostsFile: string,
  folder: string,
): Promise<string[]> {
  const logFile = join(folder, "ssh-keys.log");
  const options = { LogLevel: "DEBUG1" };
  await spawnSsh([...sshArguments(target, address, { knownHostsFile, logFile, options }), "exit 0"], {
    timeoutMs: 15_000,
  });
  const log = readFileIfThere(logFile) ?? "";
  return [...log.matchAll(/Offering public key: (.+?)(?: explicit| agent)*\r?$/gm)].map((match) => match[1] ?? "");
}

/** `code` is null when the time limit ended the process. */
function spawnSsh(
  args: string[],
  options: RunSshOptions,
): Promise<{ stdout: string; stderr: string; code: number | null }> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let timedOut = false;
    const end = () => child.kill("SIGKILL");
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs ?? 60_000);
    options.signal?.addEventListener("abort", end, { once: true });
    const settle = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", end);
    };
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => {}); // the remote command may end without reading its input
    child.stdin.end(options.stdin ?? "");
    child.on("error", (error: NodeJS.ErrnoException) => {
      settle();
      reject(error.code === "ENOENT" ? sshMissing() : error);
    });
    child.on("close", (code) => {
      settle();
      if (options.signal?.aborted) return reject(options.signal.reason);
      resolve({
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        code: timedOut ? null : (code ?? 255),
      });
    });
  });
}

/** The error for a computer without OpenSSH. */
export function sshMissing(): SshFailure {
  return new SshFailure("ssh-missing", {
    what: "the program ssh is not installed",
    why: "machines are reached through the system's OpenSSH, so that agents and hardware keys work",
    hint: "install OpenSSH's client (Debian: apt-get install openssh-client) and try again",
  });
}

async function inPrivateFolder<T>(act: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-ssh-"));
  try {
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
