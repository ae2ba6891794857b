/** Machine hosts of their own for tests of the emulator's machines, and a real OpenSSH client to reach them. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  createMachineHost,
  type MachineHost,
  type MachineHostOptions,
  type MachineSpec,
} from "../../emulator/machine/index.ts";
import { findMarked, homeHash } from "../../emulator/machine/processes.ts";
import { freePorts } from "./ports.ts";
import { makeKey } from "./sshd.ts";

export interface Bench {
  home: string;
  /** Private key that the specs of this bench let in. */
  key: string;
  publicKey: string;
  spec(contractId: number, changed?: Partial<MachineSpec>): Promise<MachineSpec>;
  host(options?: Partial<MachineHostOptions>): Promise<MachineHost>;
  /** Ends what a failed test has left, and deletes the home. */
  close(): Promise<void>;
}

export function openBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), "vl-machines-"));
  const home = join(folder, "home");
  mkdirSync(home);
  const key = makeKey(join(folder, "id_test"));
  const publicKey = readFileSync(`${key}.pub`, "utf8").trim();
  const hosts: MachineHost[] = [];
  return {
    home,
    key,
    publicKey,
    async spec(contractId, changed = {}) {
      const [direct, proxy, other] = await freePorts(3);
      return {
        contractId,
        hostname: `C.${contractId}`,
        gpus: { name: "RTX 3090", count: 1, ramMB: 24576, maxPowerW: 350, driver: "550.54.15", cuda: "12.4" },
        diskGB: 10,
        env: { CONTAINER_API_KEY: `key-${contractId}` },
        onstart: null,
        authorizedKeys: [publicKey],
        forwards: [
          { container: 22, host: direct ?? 0 },
          { container: 22, host: proxy ?? 0 },
          { container: 8080, host: other ?? 0 },
        ],
        ...changed,
      };
    },
    async host(options = {}) {
      const host = await createMachineHost({
        home,
        apiPort: 0,
        binds: [],
        handleRequest: (request, response) => response.end(`market ${request.headers.authorization ?? ""}\n`),
        log: () => {},
        ...options,
      });
      hosts.push(host);
      return host;
    },
    async close() {
      for (const host of hosts) await host.close({ endMachines: true });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Shell {
  status: number;
  stdout: string;
  stderr: string;
}

export interface Login {
  port: number;
  key: string;
  user?: string;
}

/** OpenSSH's options for a machine that is met for the first time. */
export function sshOptions({ key }: Pick<Login, "key">): string[] {
  const options = [
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    "ConnectTimeout=10",
  ];
  return ["-F", "none", "-i", key, ...options.flatMap((option) => ["-o", option])];
}

export function ssh(login: Login, command: string[], extra: string[] = []): Promise<Shell> {
  const target = `${login.user ?? "root"}@127.0.0.1`;
  return run("ssh", [...sshOptions(login), ...extra, "-p", String(login.port), target, ...command]);
}

export function run(program: string, args: string[], input = ""): Promise<Shell> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { encoding: "utf8" }, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code ?? 255) : 0, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** Everything that a home's machines have on this computer: processes, network links, mounts. */
export function tracesOf(home: string): string[] {
  const hash = homeHash(home);
  const marked = [...findMarked(`${hash}-`)].map(([marker, pids]) => `processes of ${marker}: ${pids.join(" ")}`);
  const named = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const line = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      return line.includes(home) ? [`process ${pid}: ${line}`] : [];
    });
  const links = readdirSync("/sys/class/net").filter((name) => name.startsWith(`vl${hash}`));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(home));
  return [...marked, ...named, ...links.map((name) => `link ${name}`), ...mounts];
}

export interface DaemonProcess {
  process: ChildProcess;
  hello: { mode: string; sshUser: string | null };
  call(method: keyof MachineHost, ...args: unknown[]): Promise<unknown>;
}

/** Starts test/helpers/machine-daemon.ts (or a copy of it), behind a command such as setpriv where given. */
export async function startDaemon(command: string[]): Promise<DaemonProcess> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the daemon ended");
    const answer = JSON.parse(value) as { result?: unknown; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  };
  return {
    process: child,
    hello: (await read()) as DaemonProcess["hello"],
    call(method, ...args_) {
      child.stdin.write(`${JSON.stringify([method, ...args_])}\n`);
      return read();
    },
  };
}

export async function killHard(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Polls until the probe gives something true. */
export async function until<T>(probe: () => T | Promise<T>, what: string, limitMs = 5000): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function readOrEmpty(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}
