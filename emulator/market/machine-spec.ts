/**
 * What a contract's machine is made from: the environment that Vast injects, the ports, the keys.
 * Source: vast-api.md 3.3, 9.1 and 5.4.
 */
import { createServer } from "node:net";
import type { MachineSpec } from "../machine/types.ts";
import type { ContractRecord } from "../state/records.ts";
import { slotOf, type World } from "./world.ts";

/** Ports from here on are identity-mapped: the container's port is the host's. */
const FIRST_IDENTITY_PORT = 70_000;
const MAX_PORTS = 64;

export function machineSpec(world: World, contract: ContractRecord): MachineSpec {
  const { machine, gpuIds } = slotOf(world, contract.slot);
  const forwards = Object.entries(contract.ports).flatMap(([name, host]) => {
    const [port, protocol] = name.split("/");
    if (protocol !== "tcp") return [];
    return [{ container: Number(port) >= FIRST_IDENTITY_PORT ? host : Number(port), host }];
  });
  if (contract.proxyPort !== null) {
    // Clients of jupyter contracts add 1 to the proxy port, others do not: both lead to sshd.
    forwards.push({ container: 22, host: contract.proxyPort });
    if (contract.runtype.includes("jupyter")) forwards.push({ container: 22, host: contract.proxyPort + 1 });
  }
  return {
    contractId: contract.id,
    hostname: `C.${contract.id}`,
    gpus: {
      name: machine.gpu.name,
      count: gpuIds.length,
      ramMB: machine.gpu.ramMB,
      maxPowerW: machine.gpu.maxPowerW,
      driver: machine.driver,
      cuda: machine.cuda.toFixed(1),
    },
    diskGB: contract.diskGB,
    env: environment(world, contract),
    onstart: contract.onstart,
    authorizedKeys: contract.sshKeys.map(({ key }) => key),
    forwards,
  };
}

/** Container ports that the contract's env asks for, as `port/proto`, with 22 first. */
export function wantedPorts(contract: Pick<ContractRecord, "env" | "runtype">): string[] {
  const names = new Set<string>();
  if (contract.runtype !== "args") names.add("22/tcp");
  if (contract.runtype.includes("jupyter")) names.add("8080/tcp");
  for (const [name] of contract.env) {
    // `-p internal:external`: only the container's side is a wish, the host chooses the other.
    const port = /^-p\s+(\d+)(?::\d+)?(?:\/(tcp|udp))?$/.exec(name);
    if (port) names.add(`${port[1]}/${port[2] ?? "tcp"}`);
  }
  return [...names].slice(0, MAX_PORTS);
}

/**
 * Chooses free loopback ports for a contract, once; they stay its own until it is destroyed.
 * Two calls must not run at a time: each looks at what the others have saved.
 */
export async function reservePorts(world: World, contract: ContractRecord): Promise<void> {
  if (contract.proxyPort !== null) return;
  const taken = new Set(
    world.contracts
      .values()
      .flatMap((one) => [...Object.values(one.ports), one.proxyPort ?? 0, (one.proxyPort ?? 0) + 1]),
  );
  const ports: Record<string, number> = {};
  const find = async (width: number): Promise<number> => {
    const port = await findFreePort(width, taken);
    for (let i = 0; i < width; i += 1) taken.add(port + i);
    return port;
  };
  const names = wantedPorts(contract).filter((name) => name !== "22/tcp" || isDirect(contract.runtype));
  for (const name of names) ports[name] = await find(1);
  contract.proxyPort = await find(2);
  contract.ports = ports;
  world.contracts.save(contract.id, contract);
}

export function isDirect(runtype: string): boolean {
  return runtype.includes("ssh_direc") || runtype.includes("jupyter_direc");
}

function environment(world: World, contract: ContractRecord): Record<string, string> {
  const env: Record<string, string> = { ...(world.accounts.get(contract.accountId)?.secrets ?? {}) };
  for (const [name, value] of contract.env) if (!name.startsWith("-")) env[name] = value;
  env.CONTAINER_ID = String(contract.id);
  env.VAST_CONTAINERLABEL = `C.${contract.id}`;
  env.CONTAINER_API_KEY = contract.apiKey;
  env.PUBLIC_IPADDR = "127.0.0.1";
  env.GPU_COUNT = String(slotOf(world, contract.slot).gpuIds.length);
  env.DATA_DIRECTORY ??= "/workspace/";
  env.SSH_PUBLIC_KEY = contract.sshKeys.map(({ key }) => key).join("\n");
  env.VAST_URL ??= world.machines.apiUrl(contract.id);
  if (contract.runtype.includes("jupyter")) env.JUPYTER_TOKEN = contract.jupyterToken;
  for (const [name, host] of Object.entries(contract.ports)) {
    const [port, protocol] = name.split("/");
    env[`VAST_${(protocol ?? "tcp").toUpperCase()}_PORT_${port}`] = String(host);
  }
  env.VAST_TCP_PORT_22 ??= String(contract.proxyPort ?? 22);
  return env;
}

/** A free run of `width` ports below the range from which the system takes ports of outgoing connections. */
async function findFreePort(width: number, taken: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const run = Array.from({ length: width }, (_, i) => port + i);
    if (run.some((one) => taken.has(one))) continue;
    const isFree = await Promise.all(run.map(canListen));
    if (isFree.every(Boolean)) return port;
  }
  throw new Error("no free port between 20000 and 32000 for a machine");
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
