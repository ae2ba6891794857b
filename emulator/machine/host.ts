/**
 * The machine host, whichever way machines are run: one queue of operations per contract, forwarders while a machine
 * runs, traffic counters, faults of its SSH port, and a watch for machines that die by themselves.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import { readJsonIfThere } from "../../common/files.ts";
import { isAlive } from "../../common/process.ts";
import { deleteLeftovers, deleteMachineFolder, knownMachines, machineFolder, machinesFolder } from "./folder.ts";
import { type Forwarder, openForwarder } from "./forwarder.ts";
import { placeAuthorizedKeys } from "./image.ts";
import { answerAsStranger } from "./impostor.ts";
import { readLog } from "./log-file.ts";
import { endFamily, findMarked, homeHash, markerOf } from "./processes.ts";
import { type Run, type Runner, readRun, writeRun } from "./runner.ts";
import type { MachineFault, MachineHost, MachineHostOptions, MachineSpec } from "./types.ts";
import { createDiskMeter, createLoadMeter } from "./usage.ts";

/** What `ssh-slow` adds before the first byte of each connection. */
const SLOW_MS = 3000;
const WATCH_EVERY_MS = 150;
const SAVE_TRAFFIC_EVERY_MS = 5000;

interface Machine {
  /** Present while it runs. */
  run: Run | undefined;
  forwarders: Forwarder[];
  fault: MachineFault | null;
  received: number;
  sent: number;
  isTrafficSaved: boolean;
}

export interface HostParts {
  runner: Runner;
  tools: { sshd: string; sshKeygen: string };
  clock: Clock;
}

export function createHost(options: MachineHostOptions, { runner, tools, clock }: HostParts): MachineHost {
  const { home, log } = options;
  mkdirSync(machinesFolder(home), { recursive: true, mode: 0o700 });
  const machines = new Map<number, Machine>();
  const listeners: ((contractId: number) => void)[] = [];
  const inOrder = createQueues();
  const running = () => [...machines.values()].flatMap(({ run }) => (run ? [run] : []));
  const load = createLoadMeter(() => runner.ownerOf(running()), clock);
  const disk = createDiskMeter(clock);
  const watch = setInterval(look, WATCH_EVERY_MS);
  const saving = setInterval(saveTraffic, SAVE_TRAFFIC_EVERY_MS);
  watch.unref();
  saving.unref();

  function machineOf(contractId: number): Machine {
    const known = machines.get(contractId);
    if (known) return known;
    const { received, sent } = readTraffic(machineFolder(home, contractId).traffic);
    const machine = { run: undefined, forwarders: [], fault: null, received, sent, isTrafficSaved: true };
    machines.set(contractId, machine);
    return machine;
  }

  async function start(spec: MachineSpec): Promise<void> {
    const { contractId } = spec;
    const machine = machineOf(contractId);
    if (machine.run && isAlive(machine.run.first)) return;
    if (machine.run) await leave(machine);
    const folder = machineFolder(home, contractId);
    mkdirSync(folder.disk, { recursive: true, mode: 0o755 });
    if (await takeOver(spec)) return;
    await endLeftOver(contractId);
    const began = clock.now();
    const run = await runner.launch(spec, folder);
    try {
      writeRun(folder, run);
      await openForwarders(spec, machine, run);
    } catch (error) {
      await runner.end(run);
      throw error;
    }
    machine.run = run;
    if (machine.fault === "disk-full") await runner.setDiskFull(run, folder, true);
    log(`machine ${spec.hostname} is up (${clock.now() - began} ms)`);
  }

  /** Takes over a machine that an earlier daemon has left running. False when there is none. */
  async function takeOver(spec: MachineSpec): Promise<boolean> {
    const folder = machineFolder(home, spec.contractId);
    const run = readRun(folder);
    if (!run || run.mode !== runner.mode || !isAlive(run.first)) return false;
    runner.adopt(run);
    const machine = machineOf(spec.contractId);
    await openForwarders(spec, machine, run);
    machine.run = run;
    placeAuthorizedKeys(folder.disk, spec.authorizedKeys);
    log(`machine ${spec.hostname} still runs`);
    return true;
  }

  async function openForwarders(spec: MachineSpec, machine: Machine, run: Run): Promise<void> {
    const opened: Forwarder[] = [];
    try {
      for (const { container, host } of spec.forwards) {
        const target = runner.target(run, container, host);
        if (!target) continue;
        opened.push(
          await openForwarder({
            port: host,
            target,
            admit: (client) => (container === 22 ? admitToSsh(machine, client) : true),
            count(received, sent) {
              machine.received += received;
              machine.sent += sent;
              machine.isTrafficSaved = false;
            },
          }),
        );
      }
    } catch (error) {
      for (const forwarder of opened) forwarder.close();
      throw error;
    }
    machine.forwarders = opened;
  }

  async function admitToSsh(machine: Machine, client: Socket): Promise<boolean> {
    switch (machine.fault) {
      case "ssh-refused":
        client.resetAndDestroy();
        return false;
      case "ssh-wrong-key":
        await answerAsStranger(home, tools, client).catch(() => client.destroy());
        return false;
      case "ssh-slow":
        await clock.sleep(SLOW_MS);
        return true;
      default:
        return true;
    }
  }

  /** Ends what is left of a machine's run; its disk stays. */
  async function leave(machine: Machine): Promise<void> {
    for (const forwarder of machine.forwarders) forwarder.close();
    machine.forwarders = [];
    const { run } = machine;
    machine.run = undefined;
    if (!run) return;
    await runner.end(run);
    rmSync(machineFolder(home, run.contractId).record, { force: true });
    saveTraffic();
  }

  async function stop(contractId: number): Promise<void> {
    const machine = machineOf(contractId);
    await (machine.run ? leave(machine) : endLeftOver(contractId));
  }

  /** Ends what an earlier daemon has left of a machine, whole or half started, in either mode. */
  async function endLeftOver(contractId: number, isMarked = false): Promise<void> {
    const folder = machineFolder(home, contractId);
    const run = readRun(folder);
    if (run && run.mode === runner.mode && isAlive(run.first)) await runner.end(run);
    else if (run || isMarked) await endFamily(run?.first, markerOf(home, contractId), clock);
    rmSync(folder.record, { force: true });
  }

  async function remove(contractId: number): Promise<void> {
    await stop(contractId);
    machines.delete(contractId);
    disk.forget(machineFolder(home, contractId).disk);
    await deleteMachineFolder(home, contractId);
  }

  async function recover(specs: MachineSpec[]): Promise<void> {
    const wanted = new Map(specs.map((spec) => [spec.contractId, spec]));
    const prefix = `${homeHash(home)}-`;
    const marked = new Set([...findMarked(prefix).keys()].map((marker) => Number(marker.slice(prefix.length))));
    const present = new Set([...knownMachines(home), ...marked]);
    await Promise.all(
      [...present].map((contractId) =>
        inOrder(contractId, async () => {
          const spec = wanted.get(contractId);
          if (!(spec && (await takeOver(spec)))) await endLeftOver(contractId, marked.has(contractId));
        }).catch((error) => log(`machine C.${contractId} could not be recovered: ${messageOf(error)}`)),
      ),
    );
    await Promise.all([deleteLeftovers(home), runner.sweep()]);
  }

  async function close(settings: { endMachines: boolean }): Promise<void> {
    clearInterval(watch);
    clearInterval(saving);
    if (settings.endMachines)
      await Promise.all([...machines.keys()].map((contractId) => inOrder(contractId, () => stop(contractId))));
    for (const machine of machines.values()) for (const forwarder of machine.forwarders) forwarder.close();
    saveTraffic();
    await runner.close(settings.endMachines);
  }

  function look(): void {
    for (const [contractId, machine] of machines) {
      const { run } = machine;
      if (!run || isAlive(run.first)) continue;
      inOrder(contractId, async () => {
        if (machine.run !== run) return; // stopped or started anew meanwhile
        await leave(machine);
        log(`machine C.${contractId} ended by itself`);
        for (const listener of listeners) listener(contractId);
      }).catch((error) => log(`machine C.${contractId}: ${messageOf(error)}`));
    }
  }

  function saveTraffic(): void {
    for (const [contractId, machine] of machines) {
      const { root, traffic } = machineFolder(home, contractId);
      if (machine.isTrafficSaved || !existsSync(root)) continue;
      writeFileSync(traffic, JSON.stringify({ received: machine.received, sent: machine.sent }));
      machine.isTrafficSaved = true;
    }
  }

  return {
    mode: runner.mode,
    sshUser: runner.sshUser,
    apiUrl: () => runner.apiUrl,
    start: (spec) => inOrder(spec.contractId, () => start(spec)),
    stop: (contractId) => inOrder(contractId, () => stop(contractId)),
    remove: (contractId) => inOrder(contractId, () => remove(contractId)),
    isRunning(contractId) {
      const run = machines.get(contractId)?.run;
      return run !== undefined && isAlive(run.first);
    },
    setAuthorizedKeys(contractId, keys) {
      const folder = machineFolder(home, contractId);
      if (existsSync(folder.disk)) placeAuthorizedKeys(folder.disk, keys);
    },
    containerLog: (contractId) => readLog(machineFolder(home, contractId).log),
    usage(contractId) {
      const machine = machineOf(contractId);
      return {
        diskBytes: disk.usedBytes(machineFolder(home, contractId).disk),
        gpuUtil: machine.run ? load.gpuUtil(contractId) : 0,
        receivedBytes: machine.received,
        sentBytes: machine.sent,
      };
    },
    setFault(contractId, fault) {
      const machine = machineOf(contractId);
      const wasFull = machine.fault === "disk-full";
      machine.fault = fault;
      if (wasFull === (fault === "disk-full")) return;
      inOrder(contractId, async () => {
        if (machine.run)
          await runner.setDiskFull(machine.run, machineFolder(home, contractId), machine.fault === "disk-full");
      }).catch((error) => log(`machine C.${contractId}: ${messageOf(error)}`));
    },
    recover,
    close,
    onExit: (listener) => void listeners.push(listener),
  };
}

/** One operation at a time for each contract, in the order in which they were asked for. */
function createQueues(): <T>(contractId: number, operation: () => Promise<T>) => Promise<T> {
  const last = new Map<number, Promise<unknown>>();
  return (contractId, operation) => {
    const result = (last.get(contractId) ?? Promise.resolve()).then(operation, operation);
    const settled = result.catch(() => {});
    last.set(contractId, settled);
    settled.then(() => last.get(contractId) === settled && last.delete(contractId));
    return result;
  };
}

function readTraffic(path: string): { received: number; sent: number } {
  try {
    const saved = readJsonIfThere(path) as { received?: number; sent?: number } | undefined;
    return { received: saved?.received ?? 0, sent: saved?.sent ?? 0 };
  } catch {
    return { received: 0, sent: 0 }; // cut off by a crash: traffic since the last bill is given away
  }
}
