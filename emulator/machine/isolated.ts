/**
 * Machines as containers: per contract one bubblewrap sandbox with its own pids, host name, disk and network.
 * Needs root. A sandbox is a session of its own and outlives the daemon; killing its first process
 * makes the kernel kill all others and remove its network.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readlinkSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { identify, isAlive } from "../../common/process.ts";
import { sandboxCommand, sandboxOptions } from "./bwrap.ts";
import { fillDisk, freeDisk } from "./disk-full.ts";
import { DEFAULT_PATH, injectedEnvironment } from "./environment.ts";
import { type MachineFolder, placeFile } from "./folder.ts";
import { listenOn } from "./forwarder.ts";
import { placeHostKey } from "./host-key.ts";
import {
  AUTHORIZED_KEYS,
  BANNER_FILE,
  type Base,
  HOST_KEY,
  prepareRoot,
  prepareVastFiles,
  SSHD_CONFIG,
} from "./image.ts";
import { lastLines, openLog } from "./log-file.ts";
import { createNetwork, type MachineNetwork } from "./network.ts";
import { endProcesses, kill, MARKER, markerOf } from "./processes.ts";
import { answersSsh } from "./readiness.ts";
import type { Run, Runner } from "./runner.ts";
import { sshdConfig } from "./sshd-config.ts";
import { runTool } from "./tools.ts";
import type { MachineHostOptions, MachineSpec } from "./types.ts";

export interface IsolatedTools {
  bwrap: string;
  ip: string;
  nsenter: string;
  sshd: string;
  sshKeygen: string;
  sshdVersion: number;
}

const SSH_PORT = 22;
/** Far above the usual 0.1 s: a busy computer may need it. */
const START_LIMIT_MS = 20_000;
const FDS = { args: 3, info: 4, block: 5 };

/** Whether this kernel lets us make such sandboxes; otherwise what it said. */
export async function whyNotIsolated(bwrap: string): Promise<string | undefined> {
  const probe = [
    "--unshare-net",
    "--unshare-pid",
    "--unshare-uts",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
  ];
  const { status, output } = await runTool(bwrap, [...probe, "--", "/bin/true"]);
  return status === 0 ? undefined : output.trim() || `bwrap ended with ${status}`;
}

export async function createIsolatedRunner(
  options: MachineHostOptions,
  tools: IsolatedTools,
  base: Base,
  clock: Clock,
): Promise<Runner> {
  const { home } = options;
  const network = await createNetwork(home, tools);
  const servers: Server[] = [];
  const apiUrl = await serve(createServer(options.handleRequest), options.apiPort);
  const s3Url = options.s3 && (await serve(options.s3.createServer(), options.s3.port));

  /** Listens on the bridge, with the port that the same server has on loopback; gives the address. */
  async function serve(server: Server, port: number): Promise<string> {
    await listenOn(server, port, network.gateway).catch((error) => {
      throw portInUse(port, network.gateway, error);
    });
    servers.push(server);
    const address = server.address();
    return `http://${network.gateway}:${typeof address === "object" ? address?.port : port}`;
  }

  async function launch(spec: MachineSpec, folder: MachineFolder): Promise<Run> {
    const disk = folder.disk;
    prepareVastFiles(disk, spec);
    prepareRoot(disk, spec, base);
    placeFile(disk, SSHD_CONFIG, configOf(tools, base));
    const environment = injectedEnvironment(spec, { apiUrl, s3Url, home: "/root", path: DEFAULT_PATH });
    const command = ["/bin/bash", "/.launch", tools.sshd];
    const sandbox = { disk, hostname: spec.hostname, environment, base, binds: options.binds };
    // The host key is made while the sandbox comes up: its command waits for the release below.
    const key = placeHostKey(tools.sshKeygen, disk);
    key.catch(() => {});
    const marker = markerOf(home, spec.contractId);
    const started = await startSandbox(tools.bwrap, sandboxOptions(sandbox), command, folder.log, marker, network);
    const run = started.run(spec.contractId);
    await key.catch(async (error) => {
      await end(run);
      throw error;
    });
    started.release();
    const target = { host: run.link?.address ?? "", port: SSH_PORT };
    if (await answersSsh(target, () => isAlive(run.first), clock, START_LIMIT_MS)) return run;
    await end(run);
    throw new UserError("VL_EMULATOR_FAILED", {
      what: `The emulated machine ${spec.hostname} did not start.`,
      why: lastLines(folder.log, 5),
      hint: `Its whole log is ${folder.log}.`,
    });
  }

  async function end(run: Run): Promise<void> {
    await endProcesses([run.first, ...(run.monitor ? [run.monitor] : [])], clock);
    if (run.link) await network.disconnect(run.link);
  }

  return {
    mode: "isolated",
    sshUser: undefined,
    apiUrl,
    launch,
    end,
    adopt: (run) => run.link && network.adopt(run.link),
    target: (run, containerPort) => ({ host: run.link?.address ?? "", port: containerPort }),
    setDiskFull: (run, _folder, full) => (full ? fillDisk : freeDisk)(tools.nsenter, run.first.pid),
    ownerOf(runs) {
      const owners = new Map(runs.map((run) => [namespaceOf(run.first.pid), run.contractId]));
      owners.delete(undefined);
      return (pid) => owners.get(namespaceOf(pid));
    },
    sweep: () => network.sweep(),
    async close(endAll) {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
      if (endAll) await network.remove();
    },
  };
}

function portInUse(port: number, host: string, cause: NodeJS.ErrnoException): Error {
  if (cause.code !== "EADDRINUSE") return cause;
  return new UserError("VL_PORT_IN_USE", {
    what: `Port ${port} on ${host} is in use.`,
    why: "The emulated machines are to reach the market or the store there, and another program listens on that port on every address.",
    hint: "End that program, or start the emulator with another --port or --s3-port.",
    cause,
  });
}

function configOf(tools: IsolatedTools, base: Base): string {
  return sshdConfig({
    listen: "0.0.0.0",
    port: SSH_PORT,
    hostKey: `/${HOST_KEY}`,
    authorizedKeys: `/${AUTHORIZED_KEYS}`,
    banner: `/${BANNER_FILE}`,
    version: tools.sshdVersion,
    usePam: base.hasPam,
    user: "root vastai_kaalia",
    sftp: "internal-sftp",
  });
}

interface StartedSandbox {
  run(contractId: number): Run;
  /** Lets the sandbox's command begin. */
  release(): void;
}

/** A sandbox whose network is up and whose command waits. Leaves nothing when it fails. */
async function startSandbox(
  bwrap: string,
  sandboxArguments: string[],
  command: string[],
  logPath: string,
  marker: string,
  network: MachineNetwork,
): Promise<StartedSandbox> {
  const log = openLog(logPath);
  const child = spawn(bwrap, sandboxCommand(FDS, command), {
    // A clean environment: bwrap hands its own down, and the marker is how strays are found.
    env: { [MARKER]: marker },
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log, "pipe", "pipe", "pipe"],
  });
  closeSync(log);
  child.unref();
  const failed = once(child, "exit").then(([status, signal]) => {
    throw new Error(`bwrap ended with ${signal ?? status}: ${lastLines(logPath, 3)}`);
  });
  failed.catch(() => {}); // listened to only until the sandbox is up
  const pipe = (fd: number) => child.stdio[fd] as Duplex;
  for (const fd of Object.values(FDS)) pipe(fd).on("error", () => {});
  pipe(FDS.args).end(sandboxArguments.map((word) => `${word}\0`).join(""));
  let inner: number | undefined;
  try {
    inner = await Promise.race([readChildPid(pipe(FDS.info)), failed]);
    const first = identify(inner);
    const monitor = identify(child.pid ?? 0);
    const link = await Promise.race([network.connect(inner), failed]);
    return {
      run: (contractId) => ({ contractId, mode: "isolated", first, monitor, link, sshPort: SSH_PORT }),
      release: () => pipe(FDS.block).destroy(),
    };
  } catch (error) {
    // The inner process first: without bwrap it would wait for ever.
    if (inner) kill(inner);
    child.kill("SIGKILL");
    for (const fd of Object.values(FDS)) pipe(fd).destroy();
    throw error;
  }
}

/**
 * bwrap reports the sandbox's first process, by its pid outside, as soon as the namespaces exist. All of the
 * report is awaited: bwrap writes it in pieces, and one that meets a closed pipe kills it.
 */
function readChildPid(pipe: Duplex): Promise<number> {
  return new Promise((resolve) => {
    let text = "";
    pipe.on("data", (chunk) => {
      text += chunk;
      if (text.includes("}")) resolve(JSON.parse(text)["child-pid"]);
    });
  });
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
