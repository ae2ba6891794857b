/**
 * Where a machine's things lie: `<home>/machines/<contract id>/`, and how files are put onto its disk.
 * What runs on the machine may have made any path on its disk a symbolic link, and we write as the
 * computer's user (often root): so a file is placed only below real folders, never through a link.
 */
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface MachineFolder {
  root: string;
  /** The machine's own disk: its `/` (isolated), or the parent of its home and workspace (plain). */
  disk: string;
  /** What `containerLog` shows: output of onstart, log of sshd. */
  log: string;
  /** The running machine's processes and addresses (run-record.ts). */
  record: string;
  /** Bytes moved through its ports, over all its starts. */
  traffic: string;
}

export function machinesFolder(home: string): string {
  return join(home, "machines");
}

export function machineFolder(home: string, contractId: number): MachineFolder {
  const root = join(machinesFolder(home), String(contractId));
  return {
    root,
    disk: join(root, "disk"),
    log: join(root, "container.log"),
    record: join(root, "run.json"),
    traffic: join(root, "traffic.json"),
  };
}

/** Contract ids that have a folder. */
export function knownMachines(home: string): number[] {
  return listFolder(machinesFolder(home))
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Deletes a machine's folder. It is renamed first, so that a crash on the way leaves no half of a disk to start from. */
export async function deleteMachineFolder(home: string, contractId: number): Promise<void> {
  const { root } = machineFolder(home, contractId);
  const doomed = join(machinesFolder(home), `.removed-${contractId}-${process.pid}-${Date.now()}`);
  try {
    await rename(root, doomed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(doomed, { recursive: true, force: true, maxRetries: 3 });
}

/** Finishes the deletions that a crash has cut off. */
export async function deleteLeftovers(home: string): Promise<void> {
  const folder = machinesFolder(home);
  const leftovers = listFolder(folder).filter((name) => name.startsWith(".removed-"));
  await Promise.all(leftovers.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

/** Makes `path` (relative to the disk) a real folder, replacing whatever else lies there. Keeps an existing one's mode. */
export function placeFolder(disk: string, path: string, mode = 0o755): void {
  let current = disk;
  const parts = path.split("/").filter(Boolean);
  for (const [index, part] of parts.entries()) {
    current = join(current, part);
    if (isRealFolder(current)) continue;
    rmSync(current, { force: true, recursive: true });
    mkdirSync(current);
    chmodSync(current, index === parts.length - 1 ? mode : 0o755);
  }
}

/** Writes a file on the disk, whole, with this mode, below real folders only. */
export function placeFile(disk: string, path: string, text: string, mode = 0o644): void {
  placeFolder(disk, dirname(path) === "." ? "" : dirname(path));
  const target = join(disk, path);
  const temporary = `${target}.new`;
  rmSync(temporary, { force: true, recursive: true });
  const file = openSync(temporary, "wx", mode);
  try {
    writeSync(file, text);
  } finally {
    closeSync(file);
  }
  chmodSync(temporary, mode); // the umask had its say in open
  if (isRealFolder(target)) rmSync(target, { recursive: true });
  renameSync(temporary, target);
}

export function isRealFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
