/**
 * What the market asks of whatever runs its machines, and nothing more.
 * The market (emulator/market) knows contracts and money; a machine host knows sshd, disks and ports.
 * Both sides, and the fake host of the tests, are written to this file.
 */
import type { RequestListener, Server } from "node:http";
import type { Log } from "../../common/log.ts";

/** All that a machine needs to start; the same spec starts it again after a stop, with its disk kept. */
export interface MachineSpec {
  contractId: number;
  /** Host name inside the machine: `C.<contract id>`. */
  hostname: string;
  gpus: { name: string; count: number; ramMB: number; maxPowerW: number; driver: string; cuda: string };
  diskGB: number;
  /** Environment of the machine's first process; sessions do not inherit it (as on Vast). */
  env: Record<string, string>;
  /** Text of `/root/onstart.sh`, run at every start; null for none. */
  onstart: string | null;
  /** Public keys that may log in, one OpenSSH line each. */
  authorizedKeys: string[];
  /** Container port -> loopback host port that forwards to it; port 22 appears twice (direct and proxy). */
  forwards: { container: number; host: number }[];
}

/** Faults of one machine that only its host can play. */
export type MachineFault = "ssh-refused" | "ssh-slow" | "ssh-wrong-key" | "disk-full";

export interface MachineUsage {
  diskBytes: number;
  /** Percent, 0..100. */
  gpuUtil: number;
  receivedBytes: number;
  sentBytes: number;
}

/** Runs the machines of one emulator. Every method may be called for a contract that it does not know. */
export interface MachineHost {
  /** `isolated`: root, bwrap and a network namespace each. `plain`: an sshd of the user's own. */
  readonly mode: "isolated" | "plain";
  /** The only login that works in plain mode (goes out as `ssh_user`); undefined where root works. */
  readonly sshUser: string | undefined;
  /** Base URL at which the inside of a machine reaches the market's API. */
  apiUrl(contractId: number): string;
  /** Resolves when sshd answers on the machine. Idempotent; keeps the disk of an earlier start. */
  start(spec: MachineSpec): Promise<void>;
  /** SIGKILL of everything inside; the disk stays. */
  stop(contractId: number): Promise<void>;
  /** Stop, then delete disk, network and ports. */
  remove(contractId: number): Promise<void>;
  isRunning(contractId: number): boolean;
  setAuthorizedKeys(contractId: number, keys: string[]): void;
  /** Output of onstart and the log of sshd; empty when there is none. */
  containerLog(contractId: number): string;
  usage(contractId: number): MachineUsage;
  setFault(contractId: number, fault: MachineFault | null): void;
  /** After a crash of the daemon: takes over the machines of `specs` that still run, ends all others. */
  recover(specs: MachineSpec[]): Promise<void>;
  /** Stops listening; `endMachines` also ends every machine (disks stay) and removes all networks. */
  close(options: { endMachines: boolean }): Promise<void>;
  /** Called with the contract id when a machine ended by itself (its first process died). */
  onExit(listener: (contractId: number) => void): void;
}

export interface MachineHostOptions {
  home: string;
  /** Port of the market's API on loopback; the same number is used on the machines' side. */
  apiPort: number;
  /** Extra read-only folders inside every machine. */
  binds: { from: string; to: string }[];
  /** Served to the machines under `apiUrl`. */
  handleRequest: RequestListener;
  /** The store: its port on loopback, which is used on the machines' side as well, and a server for it. */
  s3?: { port: number; createServer(): Server };
  /** Forces plain mode; absent: isolated where it can be had. */
  plain?: boolean;
  log: Log;
}
