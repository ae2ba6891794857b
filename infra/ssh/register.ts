/** Keeps `ssh vastlane-<stack>` in step with the stack's machines: written when one is ready, removed with the last. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { hostEntryHome, registerHost, unregisterHost } from "./config-file.ts";
import { removeCurrentHost } from "./current-host.ts";

export interface HostNames {
  /** Alias, such as `vastlane-dev` or `vastlane-dev-node1`. */
  host: string;
  localForward: string[];
}

/** The CLI of this clone, started for one project from wherever OpenSSH runs. */
export function cliFor(root: string, stateDir: string): string[] {
  const script = resolve(import.meta.dirname, "../../bin/vastlane.mjs");
  return [process.execPath, script, "-C", root, "--state-dir", stateDir];
}

/** Returns what a person should know, or null. Never throws for a file outside the project. */
export function rememberHost(
  names: HostNames,
  machine: { user: string; identityFile: string | null },
  project: { root: string; stateDir: string },
): string | null {
  const entry = { ...names, ...machine, serverAliveInterval: 15, cli: cliFor(project.root, project.stateDir) };
  return registerHost(entry, { stateDir: project.stateDir, home: hostEntryHome(process.env, homedir()) }).note;
}

export function forgetHost(host: string, stateDir: string): void {
  unregisterHost(host, { stateDir, home: hostEntryHome(process.env, homedir()) });
  removeCurrentHost(stateDir, host);
}
