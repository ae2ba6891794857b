/** The system's programs that we start: which, what for, and what to type where one is missing. */
import { existsSync } from "node:fs";
import { UserError } from "../common/errors.ts";
import { findProgram } from "../common/programs.ts";
import type { Env } from "./project.ts";

export interface Tool {
  program: string;
  /** Completes "needed ...". */
  purpose: string;
  /** Its package by package manager; null where the system brings it or has no such thing. */
  packages: Record<PackageManager, string | null>;
  /** Without an optional one the emulator runs in plain mode: its machines are not isolated from this one. */
  isOptional: boolean;
}

export type PackageManager = "apt" | "dnf" | "brew";

const tool = (
  program: string,
  purpose: string,
  [apt, dnf, brew]: [string, string, string | null],
  isOptional = false,
): Tool => ({ program, purpose, packages: { apt, dnf, brew }, isOptional });

export const TOOLS: readonly Tool[] = [
  tool("ssh", "to reach machines", ["openssh-client", "openssh-clients", null]),
  tool("ssh-keygen", "to make SSH keys", ["openssh-client", "openssh-clients", null]),
  tool("rsync", "to copy the project to machines", ["rsync", "rsync", "rsync"]),
  tool("sshd", "for the emulator's machines", ["openssh-server", "openssh-server", null]),
  tool("bwrap", "to isolate the emulator's machines", ["bubblewrap", "bubblewrap", null], true),
  tool("ip", "to give the emulator's machines a network of their own", ["iproute2", "iproute", null], true),
  tool("nsenter", "to set that network up", ["util-linux", "util-linux-core", null], true),
];

/** `curl`, which only the engine's official installer needs. */
export const CURL: Tool = tool("curl", "for the official download of the Pulumi engine", ["curl", "curl", null]);

/** The tools that are not here, optional ones only where they would be of use. */
export function missingTools(env: Env, tools: readonly Tool[] = TOOLS): Tool[] {
  return tools.filter((tool) => (canIsolate() || !tool.isOptional) && !findProgram(tool.program, env.PATH));
}

/** Whether this process could isolate the emulator's machines: that takes Linux and root. */
export function canIsolate(): boolean {
  return process.platform === "linux" && process.getuid?.() === 0;
}

/** The package manager of this system, as far as we know it. */
export function packageManager(): PackageManager | undefined {
  if (process.platform === "darwin") return "brew";
  if (existsSync("/usr/bin/apt-get")) return "apt";
  return existsSync("/usr/bin/dnf") ? "dnf" : undefined;
}

/** The failure of a command that cannot do without these tools; `hint` also names the optional ones of `all`. */
export function toolsMissing(needed: readonly Tool[], all = needed, manager = packageManager()): UserError {
  return new UserError("VL_TOOL_MISSING", {
    what: `Missing on this machine: ${needed.map((tool) => tool.program).join(", ")}.`,
    why: needed.map((tool) => `${tool.program} is needed ${tool.purpose}`).join("\n"),
    hint: `${installCommand(all, manager)}\nthen run: npm run setup`,
  });
}

/** What to type to install the tools; for an unknown system, what to look for. */
export function installCommand(tools: readonly Tool[], manager = packageManager()): string {
  const packages = [...new Set(tools.map((tool) => tool.packages[manager ?? "apt"]).filter((name) => name !== null))];
  const names = packages.join(" ");
  if (manager === "apt") return `sudo apt-get install -y ${names}`;
  if (manager === "dnf") return `sudo dnf install -y ${names}`;
  if (manager === "brew") return names ? `brew install ${names}` : "xcode-select --install";
  return `install ${tools.map((tool) => tool.program).join(", ")} with this system's package manager`;
}
