/**
 * The machine that a host alias stood for when somebody last connected, in `.vastlane/ssh.d/<host>.json`.
 * `ssh-proxy` writes it before the key exchange and `known-hosts` reads it during that, so that one connection
 * looks the market up once and both see the same machine. It is also what is used while the market is down.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";
import type { SshTarget } from "./target.ts";

export function writeCurrentHost(stateDir: string, host: string, target: SshTarget): void {
  writeFileAtomic(fileOf(stateDir, host), `${JSON.stringify(target)}\n`, 0o600);
}

/** The machine, or undefined when there is no file or one that cannot be understood. */
export function readCurrentHost(stateDir: string, host: string): SshTarget | undefined {
  try {
    const target = readJsonIfThere(fileOf(stateDir, host)) as SshTarget | undefined;
    return target && Array.isArray(target.addresses) && typeof target.contractId === "number" ? target : undefined;
  } catch {
    return undefined; // broken JSON: it is written anew at the next connection
  }
}

export function removeCurrentHost(stateDir: string, host: string): void {
  rmSync(fileOf(stateDir, host), { force: true });
}

/** The alias comes from the command line of whoever runs ssh: it must not lead out of the folder. */
function fileOf(stateDir: string, host: string): string {
  return join(stateDir, "ssh.d", `${host.replaceAll(/[^A-Za-z0-9._-]/g, "_")}.json`);
}
