/** A machine host without machines: contracts run and bill, nothing listens. For tests of the market alone. */
import type { MachineFault, MachineHost, MachineSpec } from "./machine/types.ts";

export interface NoMachines extends MachineHost {
  /** What was started, by contract, as the last spec that came. */
  readonly started: ReadonlyMap<number, MachineSpec>;
  readonly faults: ReadonlyMap<number, MachineFault | null>;
  readonly keys: ReadonlyMap<number, string[]>;
  /** Lets the machine's first process end, as a crash would. */
  exit(contractId: number): void;
  /** Adds to the traffic counters of a machine, bytes. */
  transfer(contractId: number, bytes: { received: number; sent: number }): void;
}

export function createNoMachines(apiPort: number): NoMachines {
  const running = new Map<number, MachineSpec>();
  const started = new Map<number, MachineSpec>();
  const faults = new Map<number, MachineFault | null>();
  const keys = new Map<number, string[]>();
  const traffic = new Map<number, { received: number; sent: number }>();
  const listeners: ((contractId: number) => void)[] = [];
  return {
    mode: "plain",
    sshUser: undefined,
    started,
    faults,
    keys,
    apiUrl: () => `http://127.0.0.1:${apiPort}`,
    async start(spec) {
      running.set(spec.contractId, spec);
      started.set(spec.contractId, spec);
      keys.set(spec.contractId, spec.authorizedKeys);
    },
    async stop(id) {
      running.delete(id);
    },
    async remove(id) {
      running.delete(id);
    },
    isRunning: (id) => running.has(id),
    setAuthorizedKeys: (id, list) => void keys.set(id, list),
    containerLog: (id) => (started.has(id) ? `machine C.${id} started\n` : ""),
    usage: (id) => ({
      diskBytes: 2e8,
      gpuUtil: 0,
      receivedBytes: traffic.get(id)?.received ?? 0,
      sentBytes: traffic.get(id)?.sent ?? 0,
    }),
    setFault: (id, fault) => void faults.set(id, fault),
    async recover(specs) {
      for (const spec of specs) running.set(spec.contractId, spec);
    },
    async close() {
      running.clear();
    },
    onExit: (listener) => void listeners.push(listener),
    exit(id) {
      running.delete(id);
      for (const listener of listeners) listener(id);
    },
    transfer(id, bytes) {
      const now = traffic.get(id) ?? { received: 0, sent: 0 };
      traffic.set(id, { received: now.received + bytes.received, sent: now.sent + bytes.sent });
    },
  };
}
