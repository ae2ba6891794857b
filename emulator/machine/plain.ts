/**
 * Machines without root or bubblewrap (a Mac, a laptop without sudo): an sshd of the user's own per contract, on
 * loopback, in a session of its own. It lets only that user in, sees the computer's files, and shares loopback: its
 * container ports are the computer's. VASTLANE_WORKSPACE says where the machine's /workspace is.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { identify, isAlive } from "../../common/process.ts";
import { DEFAULT_PATH, injectedEnvironment } from "./environment.ts";
import { isRealFolder, type MachineFolder, placeFile, placeFolder } from "./folder.ts";
import { placeHostKey } from "./host-key.ts";
import {
  AUTHORIZED_KEYS,
  BANNER_FILE,
  HOST_KEY,
  imageFile,
  placeNvidiaSmi,
  prepareVastFiles,
  SSHD_CONFIG,
} from "./image.ts";
import { lastLines, openLog } from "./log-file.ts";
import { endFamily, familyOf, MARKER, markerOf, readMarker } from "./processes.ts";
import { answersSsh } from "./readiness.ts";
import type { Run, Runner } from "./runner.ts";
import { shellQuote, sshdConfig } from "./sshd-config.ts";
import { findProgram, runTool } from "./tools.ts";
import type { MachineHostOptions, MachineSpec } from "./types.ts";

export interface PlainTools {
  sshd: string;
  sshKeygen: string;
  sshdVersion: number;
  node: string;
}

const START_LIMIT_MS = 20_000;
const SFTP_SERVERS = ["/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh", "/usr/lib/misc"];

export async function createPlainRunner(options: MachineHostOptions, tools: PlainTools, clock: Clock): Promise<Runner> {
  const { home } = options;
  const user = userInfo().username;
  const apiUrl = `http://127.0.0.1:${options.apiPort}`;
  const s3Url = options.s3 && `http://127.0.0.1:${options.s3.port}`;
  // Where sshd runs as root it insists on this folder; the service's own unit makes it as well.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });

  async function launch(spec: MachineSpec, folder: MachineFolder): Promise<Run> {
    const marker = markerOf(home, spec.contractId);
    prepareVastFiles(folder.disk, spec);
    preparePlainFiles(folder, spec, options.binds, tools.node);
    await placeHostKey(tools.sshKeygen, folder.disk);
    const session = sessionEnvironment(folder, marker);
    // A login shell takes the computer's own PATH from /etc/profile; here it gets the machine's programs back.
    for (const name of ["root/.profile", "root/.zprofile"]) {
      if (!existsSync(join(folder.disk, name)))
        placeFile(folder.disk, name, `PATH=${shellQuote(join(folder.root, "bin"))}:$PATH\n`);
    }
    const environment = {
      ...injectedEnvironment(spec, { apiUrl, s3Url, home: session.HOME, path: session.PATH }),
      ...session,
    };
    placeFile(
      folder.root,
      "environ",
      Object.entries(environment)
        .map(([name, value]) => `${name}=${value}\0`)
        .join(""),
      0o600,
    );
    const run = await startSshd(spec, folder, marker);
    startOnstart(folder, environment);
    return run;
  }

  /** A free port can be lost between finding and using it, to another program or machine: then the next one. */
  async function startSshd(spec: MachineSpec, folder: MachineFolder, marker: string): Promise<Run> {
    for (let attempt = 0; attempt < 5; attempt++) {
      const sshPort = await freePort();
      placeFile(
        folder.disk,
        SSHD_CONFIG,
        configOf(folder, sshPort, user, tools.sshdVersion, sessionEnvironment(folder, marker)),
      );
      const first = identify(
        startDetached(tools.sshd, ["-D", "-e", "-f", join(folder.disk, SSHD_CONFIG)], folder, {
          [MARKER]: marker,
          PATH: DEFAULT_PATH,
        }),
      );
      if (await answersSsh({ host: "127.0.0.1", port: sshPort }, () => isAlive(first), clock, START_LIMIT_MS)) {
        return { contractId: spec.contractId, mode: "plain", first, monitor: null, link: null, sshPort };
      }
      await endFamily(first, marker, clock);
    }
    throw new UserError("VL_EMULATOR_FAILED", {
      what: `The sshd of the emulated machine ${spec.hostname} did not start.`,
      why: lastLines(folder.log, 5),
      hint: `Its whole log is ${folder.log}.`,
    });
  }

  return {
    mode: "plain",
    sshUser: user,
    apiUrl,
    launch,
    adopt: () => {},
    end: (run) => endFamily(run.first, markerOf(home, run.contractId), clock),
    target(run, containerPort, hostPort) {
      if (containerPort === 22) return { host: "127.0.0.1", port: run.sshPort };
      // The machine's port is the computer's: forwarding a port to itself would never end.
      return containerPort === hostPort ? undefined : { host: "127.0.0.1", port: containerPort };
    },
    async setDiskFull(run, folder, full) {
      const flag = join(folder.root, "disk-full");
      if (full) writeFileSync(flag, "");
      else rmSync(flag, { force: true });
      await limitFileSize(run, markerOf(home, run.contractId), full);
    },
    ownerOf(runs) {
      const owners = new Map(runs.map((run) => [markerOf(home, run.contractId), run.contractId]));
      return (pid) => owners.get(readMarker(pid) ?? "");
    },
    sweep: async () => {},
    close: async () => {},
  };
}

/** Files beside the disk: the machine's own programs, and extra folders as links (nothing can be bound without root). */
function preparePlainFiles(
  folder: MachineFolder,
  spec: MachineSpec,
  binds: MachineHostOptions["binds"],
  node: string,
): void {
  placeFolder(folder.root, "bin");
  placeFile(folder.root, "bin/session", imageFile("session.sh"), 0o755);
  placeNvidiaSmi(folder.root, "bin", spec);
  replaceLink(join(folder.root, "bin/node"), node);
  for (const { from, to } of binds) {
    const path = to.split("/").filter(Boolean);
    placeFolder(folder.disk, path.slice(0, -1).join("/"));
    replaceLink(join(folder.disk, ...path), from);
  }
  // A killed machine leaves its fault behind; a fault that is still wanted is set again after the start.
  rmSync(join(folder.root, "disk-full"), { force: true });
}

type SessionEnvironment = Record<
  "HOME" | "PATH" | "VASTLANE_WORKSPACE" | "VASTLANE_MACHINE" | "VASTLANE_PLAIN" | "VASTLANE_PID1_ENVIRON",
  string
>;

function sessionEnvironment(folder: MachineFolder, marker: string): SessionEnvironment {
  // The computer's own programs, but none of the project's: a rented machine has no vastlane or pulumi.
  const inherited = (process.env.PATH ?? "")
    .split(":")
    .filter((entry) => entry.startsWith("/") && !entry.includes("node_modules"));
  return {
    HOME: join(folder.disk, "root"),
    PATH: [join(folder.root, "bin"), ...new Set([...inherited, ...DEFAULT_PATH.split(":")])].join(":"),
    VASTLANE_WORKSPACE: join(folder.disk, "workspace"),
    VASTLANE_MACHINE: marker,
    VASTLANE_PLAIN: "1",
    // There is no /proc/1 of the machine's own: this file has the same format.
    VASTLANE_PID1_ENVIRON: join(folder.root, "environ"),
  };
}

function configOf(
  folder: MachineFolder,
  port: number,
  user: string,
  version: number,
  environment: SessionEnvironment,
): string {
  const server = SFTP_SERVERS.map((parent) => join(parent, "sftp-server")).find((path) => existsSync(path));
  return sshdConfig({
    listen: "127.0.0.1",
    port,
    hostKey: join(folder.disk, HOST_KEY),
    authorizedKeys: join(folder.disk, AUTHORIZED_KEYS),
    banner: join(folder.disk, BANNER_FILE),
    version,
    // PAM wants root, and would bring the computer's own rules.
    usePam: false,
    user,
    sftp: server ?? "internal-sftp",
    forced: { command: join(folder.root, "bin/session"), environment },
  });
}

function startOnstart(folder: MachineFolder, environment: Record<string, string>): void {
  const shell = findProgram("bash") ?? "/bin/sh";
  const marker = join(folder.disk, "root/hasbooted");
  const script = `[ ! -s onstart.sh ] || ${shellQuote(shell)} onstart.sh; touch ${shellQuote(marker)}`;
  startDetached("/bin/sh", ["-c", script], folder, environment);
}

/** In a session of its own, its output in the container log. Returns the pid. */
function startDetached(program: string, args: string[], folder: MachineFolder, env: Record<string, string>): number {
  const log = openLog(folder.log);
  try {
    const child = spawn(program, args, {
      cwd: join(folder.disk, "root"),
      env,
      detached: true,
      stdio: ["ignore", log, log],
    });
    child.on("error", () => {}); // without a pid the machine counts as dead, and the caller says so
    child.unref();
    return child.pid ?? 0;
  } finally {
    closeSync(log);
  }
}

/** Soft limits of running processes (util-linux, Linux only); sshd itself is spared, as it would lose its log. */
async function limitFileSize(run: Run, marker: string, full: boolean): Promise<void> {
  const prlimit = findProgram("prlimit");
  if (!prlimit || process.platform !== "linux") return;
  for (const pid of familyOf(run.first, marker)) {
    if (pid !== run.first.pid) await runTool(prlimit, ["--pid", String(pid), `--fsize=${full ? "0" : "unlimited"}:`]);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function replaceLink(path: string, target: string): void {
  rmSync(path, { force: true, recursive: isRealFolder(path) });
  symlinkSync(target, path);
}
