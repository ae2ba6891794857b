/**
 * Makes the machines follow the contracts: for each contract one goal at a time, in its own queue, started by
 * `poke` and repeated until machine and contract agree. Nothing here decides; it reads the phase and acts.
 */
import { messageOf } from "../../common/errors.ts";
import type { MachineFault, MachineHost, MachineSpec } from "../machine/types.ts";
import type { ContractRecord } from "../state/records.ts";
import { PHASES } from "./contracts.ts";
import { countTraffic, fire, noteContract } from "./lifecycle.ts";
import { machineSpec, reservePorts } from "./machine-spec.ts";
import { settle } from "./settle.ts";
import type { World } from "./world.ts";

export interface Powering {
  poke(contractId: number): void;
  /** The machines that should be up now, for `MachineHost.recover`. */
  wanted(): MachineSpec[];
  /** Takes over what runs after a restart of the daemon, and pokes every contract. */
  adopt(): void;
  /** Resolves when no machine is being changed. */
  idle(): Promise<void>;
}

export function createPowering(world: World): Powering {
  /** Generation that runs, by contract; absent: down. */
  const up = new Map<number, number>();
  const busy = new Map<number, Promise<void>>();
  const again = new Set<number>();
  const playing = new Map<number, MachineFault | null>();
  /** Ports are chosen one contract after the other. */
  let choosing: Promise<void> = Promise.resolve();
  const machines = (): MachineHost => world.machines;

  function poke(id: number): void {
    if (busy.has(id)) {
      again.add(id);
      return;
    }
    // Begun later, so that a poke from within finds this one under way.
    const work = Promise.resolve()
      .then(() => drive(id))
      .catch((error) => world.log(`machine of contract ${id}: ${messageOf(error)}`))
      .finally(() => {
        busy.delete(id);
        if (again.delete(id)) poke(id);
      });
    busy.set(id, work);
  }

  async function drive(id: number): Promise<void> {
    for (;;) {
      const contract = world.contracts.get(id);
      if (!contract || contract.phase === "destroyed") {
        up.delete(id);
        await machines().remove(id);
        if (contract) noteMachine(contract, "machine-down");
        return;
      }
      const generation = up.get(id);
      const wanted = shouldRun(contract, world.clock.now());
      if (generation !== undefined && (!wanted || generation !== contract.power.generation)) await stop(contract);
      else if (generation === undefined && wanted) await start(contract);
      else {
        playFault(contract);
        return settleStop(contract);
      }
    }
  }

  async function stop(contract: ContractRecord): Promise<void> {
    countTraffic(world, contract);
    up.delete(contract.id);
    if (contract.power.wipe) await machines().remove(contract.id);
    else await machines().stop(contract.id);
    noteMachine(contract, "machine-down");
  }

  /** An unreachable host looks from outside like a machine whose ports refuse. */
  function playFault(contract: ContractRecord): void {
    const fault = contract.offline ? "ssh-refused" : contract.machineFault;
    if (fault === (playing.get(contract.id) ?? null)) return;
    playing.set(contract.id, fault);
    machines().setFault(contract.id, fault);
  }

  /** A stop that was asked for is over when the machine is down. */
  function settleStop(contract: ContractRecord): void {
    if (contract.phase !== "stopping" || up.has(contract.id)) return;
    fire(world, contract, "machine-down", settle(world));
    world.commit();
  }

  async function start(contract: ContractRecord): Promise<void> {
    const { generation } = contract.power;
    try {
      if (contract.startError !== null) throw new Error(contract.startError);
      await startWithPorts(contract);
    } catch (error) {
      fail(contract, generation, error);
      return;
    }
    up.set(contract.id, generation);
    playing.delete(contract.id);
    playFault(contract);
    if (contract.power.generation !== generation || !shouldRun(contract, world.clock.now())) return; // overtaken
    fire(world, contract, "machine-up", settle(world));
    noteMachine(contract, "machine-up");
  }

  async function startWithPorts(contract: ContractRecord): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      choosing = choosing.catch(() => {}).then(() => reservePorts(world, contract));
      await choosing;
      try {
        return await machines().start(machineSpec(world, contract));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || attempt === 3) throw error;
        contract.proxyPort = null; // somebody else took a port meanwhile: choose others
      }
    }
  }

  function fail(contract: ContractRecord, generation: number, error: unknown): void {
    if (contract.power.generation !== generation) return;
    world.log(`machine of contract ${contract.id} did not start: ${messageOf(error)}`);
    fire(world, contract, "machine-failed", settle(world), {
      kind: "error",
      stopCause: "start-error",
      statusMsg: messageOf(error),
      detail: { error: messageOf(error) },
    });
    world.commit();
  }

  function noteMachine(contract: ContractRecord, kind: "machine-up" | "machine-down"): void {
    noteContract(world, contract, kind);
    world.commit();
  }

  return {
    poke,
    wanted: () =>
      world.contracts
        .values()
        .filter((one) => shouldRun(one, world.clock.now()) && one.upGeneration === one.power.generation)
        .map((one) => machineSpec(world, one)),
    adopt() {
      for (const contract of world.contracts.values()) {
        if (contract.phase === "destroyed") {
          // Killed between the destroy and its effect: the disk may still be there. Costs nothing where it is not.
          void machines()
            .remove(contract.id)
            .catch((error) => world.log(`disk of contract ${contract.id}: ${messageOf(error)}`));
          continue;
        }
        if (machines().isRunning(contract.id)) up.set(contract.id, contract.upGeneration);
        else if (contract.phase === "running") {
          // The daemon was stopped, or the machine died with it: it boots again, as after a reboot of the host.
          fire(world, contract, "reboot", settle(world), { kind: "reboot" });
        }
        poke(contract.id);
      }
      world.commit();
    },
    async idle() {
      while (busy.size > 0) await Promise.all(busy.values());
    },
  };
}

/** Whether the machine should be up now. Stuck and not yet loaded contracts have none. */
export function shouldRun(contract: ContractRecord, now: number): boolean {
  if (contract.offline?.crash) return false;
  if (contract.phase === "running") return true;
  return PHASES[contract.phase].isStarting && contract.readyAt !== null && contract.readyAt <= now;
}
