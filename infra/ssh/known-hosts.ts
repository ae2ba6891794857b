/**
 * The pin store: one file per contract with the host keys met at the first contact.
 * The market's API gives no host key, so the first contact is trusted (as `accept-new` does); from then on
 * another key is refused. Host names and ports are reused by later machines, contract ids are not.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readFileIfThere, writeFileAtomic } from "../../common/files.ts";
import { hostKeyAlias } from "./target.ts";

/** The contract's file below the project's `.vastlane` folder. */
export function pinFile(stateDir: string, contractId: number): string {
  return join(stateDir, "known_hosts.d", String(contractId));
}

/** known_hosts lines of `keys` (`type base64` each) under `name`. */
export function renderKnownHosts(name: string, keys: readonly string[]): string {
  return keys.map((key) => `${name} ${key}\n`).join("");
}

/**
 * The keys (`type base64`) in known_hosts text that stand under `name`, ed25519 first.
 * Comments, markers such as `@revoked`, hashed names and other names are passed over.
 */
export function parseKnownHosts(text: string, name: string): string[] {
  const keys = text.split(/\r?\n/).flatMap((line) => {
    const [names, type, base64] = line.trim().split(/\s+/);
    if (!names || !type || !base64 || names.startsWith("#") || names.startsWith("@")) return [];
    return names.split(",").includes(name) ? [`${type} ${base64}`] : [];
  });
  return [...new Set(keys)].sort((a, b) => Number(isEd25519(b)) - Number(isEd25519(a)));
}

/** The pinned keys of a contract, or null when none were pinned on this computer. */
export function readPin(stateDir: string, contractId: number): string[] | null {
  const text = readFileIfThere(pinFile(stateDir, contractId));
  const keys = text === undefined ? [] : parseKnownHosts(text, hostKeyAlias(contractId));
  return keys.length > 0 ? keys : null;
}

/** Writes the pin (atomic, 0600) and returns the file's path. */
export function writePin(stateDir: string, contractId: number, keys: readonly string[]): string {
  const path = pinFile(stateDir, contractId);
  writeFileAtomic(path, renderKnownHosts(hostKeyAlias(contractId), keys), 0o600);
  return path;
}

/** Forgets a contract that is gone; absent is fine. */
export function removePin(stateDir: string, contractId: number): void {
  rmSync(pinFile(stateDir, contractId), { force: true });
}

function isEd25519(key: string): boolean {
  return key.startsWith("ssh-ed25519 ");
}
