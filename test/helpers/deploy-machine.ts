/** One emulated machine with a project to push to it, for tests of deploy. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../common/clock.ts";
import { silent } from "../../common/log.ts";
import { createMachineHost, type MachineFault, type MachineHost } from "../../emulator/machine/index.ts";
import { type PushReport, type PushWorld, push } from "../../infra/deploy/push.ts";
import type { PushRequest, RunSpec } from "../../infra/deploy/request.ts";
import { runSsh, waitForSsh } from "../../infra/ssh/shell.ts";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { buildAgent, buildModules } from "../../runtime/agent/build.ts";
import { freePort } from "./ports.ts";
import { runSpec } from "./run-spec.ts";
import { makeKey } from "./sshd.ts";

export type RequestChanges = Partial<Omit<PushRequest, "run">> & { run?: Partial<RunSpec> };

export interface DeployMachine {
  target: SshTarget;
  host: MachineHost;
  /** The project's folder here. */
  root: string;
  write(files: Record<string, string>): void;
  request(changes?: RequestChanges): PushRequest;
  push(changes?: RequestChanges, world?: Partial<PushWorld>): Promise<PushReport & { log: string[] }>;
  /** stdout of a command on the machine; fails when the command does. */
  run(command: string): Promise<string>;
  setFault(fault: MachineFault | null): void;
  close(): Promise<void>;
}

const repository = fileURLToPath(new URL("../../", import.meta.url));

export async function startDeployMachine(options: { plain?: boolean } = {}): Promise<DeployMachine> {
  const folder = mkdtempSync(join(tmpdir(), "vl-deploy-"));
  const root = join(folder, "project");
  mkdirSync(root);
  writeFileSync(join(root, "Pulumi.yaml"), "name: test\n");
  const key = makeKey(join(folder, "id"));
  const [agent, built] = await Promise.all([buildAgent(), buildModules()]);
  const modules = Object.fromEntries(Object.entries(built).map(([name, { path }]) => [name, path]));
  const host = await createMachineHost({
    home: join(folder, "emulator"),
    apiPort: await freePort(),
    binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }],
    handleRequest: (_request, response) => response.end(),
    log: silent,
    ...(options.plain === undefined ? {} : { plain: options.plain }),
  });
  await host.recover([]);
  const port = await freePort();
  await host.start({
    contractId: 31,
    hostname: "C.31",
    gpus: { name: "RTX 4090", count: 1, ramMB: 24564, maxPowerW: 450, driver: "550.1", cuda: "12.4" },
    diskGB: 10,
    env: {},
    onstart: null,
    authorizedKeys: [readFileSync(`${key}.pub`, "utf8").trim()],
    forwards: [{ container: 22, host: port }],
  });
  const target: SshTarget = {
    contractId: 31,
    user: host.sshUser ?? "root",
    addresses: [{ host: "127.0.0.1", port, kind: "direct" }],
    hostKeys: null,
    identityFile: key,
  };
  const stateDir = join(folder, "state");
  const { hostKeys } = await waitForSsh(target, { clock: systemClock, deadline: Date.now() + 20_000, stateDir });
  target.hostKeys = hostKeys;
  const machine: DeployMachine = {
    target,
    host,
    root,
    write(files) {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
    },
    request: ({ run, ...changes } = {}) => ({
      target,
      sync: ["."],
      bundles: { agent: agent.path, modules },
      requirements: "requirements.txt",
      setup: null,
      secretNames: [],
      store: null,
      pricePerHour: 0.3,
      ...changes,
      run: runSpec(run),
    }),
    async push(changes, world = {}) {
      const log: string[] = [];
      const report = await push(machine.request(changes), {
        root,
        secrets: {},
        log: (line) => log.push(line),
        ...world,
      });
      return { ...report, log };
    },
    async run(command) {
      const result = await runSsh(target, command);
      if (result.code !== 0) throw new Error(`${command} ended with ${result.code}: ${result.stdout}${result.stderr}`);
      return result.stdout;
    },
    setFault: (fault) => host.setFault(31, fault),
    async close() {
      await host.remove(31);
      await host.close({ endMachines: true });
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return machine;
}
