/**
 * The programs of this computer that machines are made of: where they are, and what to install when one is not there.
 * Looks beyond PATH, because sshd and ip live in folders that are not on a plain user's PATH.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { UserError } from "../../common/errors.ts";
import { findProgram } from "../../common/programs.ts";

export { findProgram } from "../../common/programs.ts";

/** What to install for each program, by package manager. */
const PACKAGES: Record<string, { apt: string; brew: string; purpose: string }> = {
  sshd: { apt: "openssh-server", brew: "openssh", purpose: "the emulated machines are reached through it" },
  "ssh-keygen": { apt: "openssh-client", brew: "openssh", purpose: "each emulated machine gets a host key of its own" },
  bwrap: { apt: "bubblewrap", brew: "", purpose: "it keeps the emulated machines apart from this computer" },
  ip: { apt: "iproute2", brew: "", purpose: "each emulated machine gets a network of its own" },
  nsenter: { apt: "util-linux", brew: "", purpose: "it sets up the network inside an emulated machine" },
};

/**
 * Absolute path of a program that must be there.
 * @throws UserError VL_TOOL_MISSING naming the package to install.
 */
export function requireProgram(name: keyof typeof PACKAGES & string, path?: string): string {
  const found = findProgram(name, path);
  if (found) return found;
  throw toolMissing(name, process.platform);
}

/** The error for a program that is not installed, with the command that installs it. */
export function toolMissing(name: string, platform: NodeJS.Platform): UserError {
  const packages = PACKAGES[name];
  const install =
    platform === "darwin" && packages?.brew
      ? `brew install ${packages.brew}`
      : `apt-get install ${packages?.apt ?? name} (as root), or the package of that name of your system`;
  return new UserError("VL_TOOL_MISSING", {
    what: `The program ${name} is not installed.`,
    why: `The emulated market needs it: ${packages?.purpose ?? "its machines use it"}.`,
    hint: install,
  });
}

export interface ToolResult {
  /** Exit status; null when a signal ended the program. */
  status: number | null;
  output: string;
}

/** Runs a short program to its end; `output` is stdout and stderr together. Never throws for an exit status. */
export function runTool(
  program: string,
  args: string[],
  options: { input?: string; env?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const settings: SpawnOptions = { stdio: ["pipe", "pipe", "pipe"], signal: options.signal };
    if (options.env) settings.env = options.env;
    const child = spawn(program, args, settings);
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk));
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
    child.stdin?.on("error", () => {}); // the program may end without reading
    child.stdin?.end(options.input ?? "");
  });
}

/** Version of the installed sshd as a number to compare, e.g. 9.2; 0 when it does not say. */
export async function sshdVersion(sshd: string): Promise<number> {
  // Before 9.2 there is no -V: sshd then prints its usage, with the version in it, and fails.
  const { output } = await runTool(sshd, ["-V"]);
  return Number(/OpenSSH_(\d+\.\d+)/.exec(output)?.[1] ?? 0);
}
