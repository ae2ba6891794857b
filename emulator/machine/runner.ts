/**
 * What the two ways of running machines (isolated.ts, plain.ts) have in common towards host.ts,
 * and the record on disk by which a later daemon finds a machine that still runs.
 */
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";
import type { ProcessId } from "../../common/process.ts";
import type { MachineFolder } from "./folder.ts";
import type { Link } from "./network.ts";
import type { MachineHost, MachineSpec } from "./types.ts";

/** A machine that runs. */
export interface Run {
  contractId: number;
  mode: MachineHost["mode"];
  /** Its end is the machine's end: bash as pid 1 (isolated), the listening sshd (plain). */
  first: ProcessId;
  /** bwrap, which waits outside for `first` (isolated). */
  monitor: ProcessId | null;
  link: Link | null;
  /** Port of sshd at the machine's address. */
  sshPort: number;
}

export interface Runner {
  readonly mode: MachineHost["mode"];
  readonly sshUser: string | undefined;
  readonly apiUrl: string;
  /** Resolves when sshd answers. Leaves nothing running when it fails. */
  launch(spec: MachineSpec, folder: MachineFolder): Promise<Run>;
  /** Counts a machine that an earlier daemon has started as one of ours. */
  adopt(run: Run): void;
  /** Kills everything of the machine and removes its network. `run` may have died already. */
  end(run: Run): Promise<void>;
  /** Where a container port is reached; undefined when it cannot be. */
  target(run: Run, containerPort: number, hostPort: number): { host: string; port: number } | undefined;
  setDiskFull(run: Run, folder: MachineFolder, full: boolean): Promise<void>;
  /** Which of these machines a process belongs to: a function of its pid, for one look at all processes. */
  ownerOf(runs: Run[]): (pid: number) => number | undefined;
  /** Removes networks that belong to no running machine. */
  sweep(): Promise<void>;
  /** Stops listening; with `endAll` no machine runs any more and what they shared is removed. */
  close(endAll: boolean): Promise<void>;
}

export function writeRun(folder: MachineFolder, run: Run): void {
  writeFileAtomic(folder.record, `${JSON.stringify(run)}\n`, 0o600);
}

/** The record of the last start; undefined when there is none or a crash has left it unreadable. */
export function readRun(folder: MachineFolder): Run | undefined {
  try {
    return readJsonIfThere(folder.record) as Run | undefined;
  } catch {
    return undefined; // its processes are then found by their marker
  }
}
