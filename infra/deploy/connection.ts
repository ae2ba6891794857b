/**
 * One SSH connection for a whole push: OpenSSH's own ControlMaster in a private folder. The master runs the probe
 * and then waits for the end of its stdin, which this process holds: when the push dies, however it dies, the
 * connection and everything on it end by themselves.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readFileIfThere } from "../../common/files.ts";
import { isAlive } from "../../common/process.ts";
import { type Attempt, failureOf, reasonOf } from "../ssh/failure.ts";
import { renderKnownHosts } from "../ssh/known-hosts.ts";
import { offeredKeys, sshMissing } from "../ssh/shell.ts";
import { hostKeyAlias, type SshAddress, type SshTarget, sshArguments } from "../ssh/target.ts";

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export interface RemoteResult {
  code: number;
  /** All of stdout. */
  stdout: string;
  /** The last 8 kB of stdout and stderr together, as they came. */
  tail: string;
}

export interface Connection {
  address: SshAddress;
  /** What the probe printed. */
  answer: string;
  /**
   * Runs a command on the machine over this connection; `input` is streamed to its stdin.
   * @throws SshFailure when the connection breaks.
   */
  run(
    command: string,
    options?: { input?: AsyncIterable<Uint8Array>; onLine?: (line: string) => void },
  ): Promise<RemoteResult>;
  /** Runs a short command although the push is cancelled; what comes of it is not looked at. */
  lastWord(command: string): Promise<void>;
  /** A command line for rsync's `-e` that goes over this connection. */
  remoteShell: string;
  close(): Promise<void>;
}

const ANSWER_LIMIT_MS = 60_000;

/**
 * Connects to the first of the target's addresses that lets us in and runs `probe` there; its stdin gets `input()`,
 * which is called while the connection is being made.
 * @throws SshFailure when no address works; RemoteError when the probe itself fails.
 */
export async function openConnection(
  target: SshTarget,
  probe: string,
  input: () => Uint8Array,
  signal?: AbortSignal,
): Promise<Connection> {
  const folder = privateFolder();
  try {
    const knownHostsFile = join(folder, "known_hosts");
    writeFileSync(knownHostsFile, renderKnownHosts(hostKeyAlias(target.contractId), target.hostKeys ?? []));
    const attempts: Attempt[] = [];
    for (const address of target.addresses) {
      const master = new Master(target, address, knownHostsFile, folder, signal);
      const answer = await master.start(probe, input);
      if (typeof answer === "string") return master.connection(answer);
      attempts.push(answer);
    }
    const denied = attempts.find((attempt) => attempt.reason === "permission-denied");
    const offered = denied === undefined ? [] : await offeredKeys(target, denied.address, knownHostsFile, folder);
    throw failureOf(target, attempts, offered);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * A folder for the connection's socket, its name short (a socket's path has to fit into 104 bytes) and with our
 * process id in it: what killed pushes have left is recognised by that and removed.
 */
function privateFolder(): string {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(/^vl-(\d+)-\w{6}$/.exec(name)?.[1]);
    if (pid > 0 && !isAlive({ pid, startTicks: null })) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  return mkdtempSync(join(tmpdir(), `vl-${process.pid}-`));
}

/** A command on the machine that ended with an error of its own. */
export class RemoteError extends Error {
  readonly result: RemoteResult;

  constructor(message: string, result: RemoteResult) {
    super(message);
    this.name = "RemoteError";
    this.result = result;
  }
}

class Master {
  readonly #target: SshTarget;
  readonly #address: SshAddress;
  readonly #knownHostsFile: string;
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  readonly #socket: string;
  #child: Child | undefined;
  #exited: Promise<number> = Promise.resolve(0);

  constructor(target: SshTarget, address: SshAddress, knownHostsFile: string, folder: string, signal?: AbortSignal) {
    this.#target = target;
    this.#address = address;
    this.#knownHostsFile = knownHostsFile;
    this.#folder = folder;
    this.#signal = signal;
    this.#socket = join(folder, address.kind);
  }

  /** The probe's answer, or why this address does not work. */
  async start(probe: string, input: () => Uint8Array): Promise<string | Attempt> {
    this.#signal?.throwIfAborted();
    const logFile = join(this.#folder, `${this.#address.kind}.log`);
    const child = this.#spawn({ ControlMaster: "yes", ControlPath: this.#socket }, logFile, probe);
    this.#child = child;
    // Only until it stands: afterwards a cancelled push still has something to say over it.
    const cancel = () => child.kill("SIGKILL");
    this.#signal?.addEventListener("abort", cancel);
    const output = new Output(child);
    let isSilent = false;
    const limit = setTimeout(() => {
      isSilent = true;
      child.kill("SIGKILL");
    }, ANSWER_LIMIT_MS);
    try {
      this.#exited = exitOf(child);
      child.stdin.write(input());
      const ended = this.#exited.then(() => false);
      if (await Promise.race([output.contains("@end\n"), ended])) return output.all;
      const code = await this.#exited;
      this.#signal?.throwIfAborted();
      const log = readFileIfThere(logFile) ?? "";
      if (code === 255 || isSilent) {
        return { address: this.#address, reason: isSilent ? "timeout" : reasonOf(log), log };
      }
      throw new RemoteError("the machine cannot be used", { code, stdout: output.all, tail: output.tail });
    } finally {
      clearTimeout(limit);
      this.#signal?.removeEventListener("abort", cancel);
    }
  }

  connection(answer: string): Connection {
    return {
      address: this.#address,
      answer,
      run: (command, options = {}) => this.#run(command, options),
      lastWord: (command) => this.#lastWord(command),
      remoteShell: [
        "ssh",
        "-S",
        this.#socket,
        "-o",
        "ControlMaster=no",
        "-o",
        "BatchMode=yes",
        "-p",
        String(this.#address.port),
        "-l",
        this.#target.user,
      ].join(" "),
      close: () => this.#close(),
    };
  }

  async #run(
    command: string,
    { input, onLine }: { input?: AsyncIterable<Uint8Array>; onLine?: (line: string) => void },
  ): Promise<RemoteResult> {
    const logFile = join(this.#folder, `run-${Date.now()}.log`);
    const child = this.#spawn({ ControlMaster: "no", ControlPath: this.#socket }, logFile, command, this.#signal);
    const output = new Output(child, onLine);
    const exited = exitOf(child);
    const sent = input === undefined ? child.stdin.end() && undefined : pipeline(Readable.from(input), child.stdin);
    // The remote command may end before it has read everything; then its own words say why.
    const sending = Promise.resolve(sent).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE" || error.code === "ERR_STREAM_PREMATURE_CLOSE") return;
      child.kill("SIGKILL");
      throw error;
    });
    const [code] = await Promise.all([exited, sending]);
    this.#signal?.throwIfAborted();
    const log = `${readFileIfThere(logFile) ?? ""}${brokenNote(output.tail)}`;
    if (code === 255 && log !== "") {
      throw failureOf(this.#target, [{ address: this.#address, reason: reasonOf(log), log }], []);
    }
    return { code, stdout: output.all, tail: output.tail };
  }

  async #lastWord(command: string): Promise<void> {
    const logFile = join(this.#folder, "last.log");
    const child = this.#spawn({ ControlMaster: "no", ControlPath: this.#socket }, logFile, command);
    child.stdin.end();
    const limit = setTimeout(() => child.kill("SIGKILL"), 3000);
    await exitOf(child).catch(() => {});
    clearTimeout(limit);
  }

  #spawn(options: Record<string, string>, logFile: string, command: string, signal?: AbortSignal): Child {
    signal?.throwIfAborted();
    const base = { knownHostsFile: this.#knownHostsFile, connectTimeoutSeconds: 15, logFile, options };
    const args = [...sshArguments(this.#target, this.#address, base), command];
    const child = spawn("ssh", args, {
      stdio: ["pipe", "pipe", "pipe"],
      killSignal: "SIGKILL",
      ...(signal === undefined ? {} : { signal }),
    });
    child.stdin.on("error", () => {}); // the machine may close first; its exit status tells
    return child;
  }

  async #close(): Promise<void> {
    this.#child?.stdin.end();
    const force = setTimeout(() => this.#child?.kill("SIGKILL"), 2000);
    await this.#exited.catch(() => {});
    clearTimeout(force);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Collects what a child prints. */
class Output {
  all = "";
  tail = "";
  #waiting: { text: string; found: () => void } | undefined;

  constructor(child: Child, onLine?: (line: string) => void) {
    let line = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      this.all += chunk;
      this.#keep(chunk);
      if (this.#waiting && this.all.includes(this.#waiting.text)) this.#waiting.found();
      if (onLine === undefined) return;
      const lines = (line + chunk).split("\n");
      line = lines.pop() ?? "";
      for (const each of lines) onLine(each);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => this.#keep(chunk));
  }

  contains(text: string): Promise<true> {
    return new Promise((resolve) => {
      if (this.all.includes(text)) return resolve(true);
      this.#waiting = { text, found: () => resolve(true) };
    });
  }

  #keep(chunk: string): void {
    this.tail = (this.tail + chunk).slice(-8192);
  }
}

/** 255 stands for "ended by a signal", as it does for ssh's own failures. */
function exitOf(child: Child): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      // Its output stays open: OpenSSH's master holds it for a client that is killed.
      if (error.name === "AbortError") return resolve(255);
      reject(error.code === "ENOENT" ? sshMissing() : error);
    });
    child.once("close", (code) => resolve(code ?? 255));
  });
}

/** OpenSSH reports a broken session on stderr, not in its log. */
function brokenNote(tail: string): string {
  return /^(Connection to \S+ closed by remote host|Shared connection to \S+ closed)\.\r?\n$/m.exec(tail)?.[0] ?? "";
}
