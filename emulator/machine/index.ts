/** Real machines for the emulated market: sandboxes where root and bubblewrap are there, else sshds of the user's own. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { createHost } from "./host.ts";
import { readBase } from "./image.ts";
import { createIsolatedRunner, whyNotIsolated } from "./isolated.ts";
import { createPlainRunner } from "./plain.ts";
import type { Runner } from "./runner.ts";
import { findProgram, requireProgram, sshdVersion } from "./tools.ts";
import type { MachineHost, MachineHostOptions } from "./types.ts";

export type { MachineFault, MachineHost, MachineHostOptions, MachineSpec, MachineUsage } from "./types.ts";

/**
 * Makes ready to run machines under `<home>/machines`; call `recover` next. `plain: false` insists on sandboxes.
 * @throws UserError VL_TOOL_MISSING when sshd (or, with `plain: false`, bwrap) is not installed.
 */
export async function createMachineHost(options: MachineHostOptions): Promise<MachineHost> {
  mkdirSync(options.home, { recursive: true, mode: 0o700 });
  const sshd = requireProgram("sshd");
  const tools = { sshd, sshKeygen: requireProgram("ssh-keygen"), sshdVersion: await sshdVersion(sshd) };
  const runner = await chooseRunner(options, tools);
  return createHost(options, { runner, tools, clock: systemClock });
}

async function chooseRunner(
  options: MachineHostOptions,
  tools: { sshd: string; sshKeygen: string; sshdVersion: number },
): Promise<Runner> {
  const node = nodeBinary();
  const obstacle = options.plain ? "plain mode was asked for" : await obstacleToSandboxes();
  if (obstacle === undefined) {
    const [bwrap, ip, nsenter] = [requireProgram("bwrap"), requireProgram("ip"), requireProgram("nsenter")];
    return createIsolatedRunner(options, { ...tools, bwrap, ip, nsenter }, readBase(node), systemClock);
  }
  if (options.plain === false) {
    for (const program of ["bwrap", "ip", "nsenter"]) requireProgram(program);
    throw new UserError("VL_EMULATOR_FAILED", {
      what: "Isolated machines cannot be made here.",
      why: obstacle,
      hint: "Run the emulator as root on Linux, or leave the choice to it: it then uses plain sshds.",
    });
  }
  options.log(`machines are plain sshds of your own user, without a network of their own: ${obstacle}`);
  return createPlainRunner(options, { ...tools, node }, systemClock);
}

/** Why machines cannot be sandboxes; undefined when they can. */
async function obstacleToSandboxes(): Promise<string | undefined> {
  if (process.platform !== "linux") return `sandboxes need Linux, and this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "sandboxes need root";
  const missing = ["bwrap", "ip", "nsenter"].filter((name) => !findProgram(name));
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  if (!findProgram("sshd", "")?.startsWith("/usr/"))
    return "sshd is not below /usr, the part of this computer that machines see";
  return whyNotIsolated(requireProgram("bwrap"));
}

/** The project's own Node 24, whatever Node runs this. */
function nodeBinary(): string {
  const project = join(import.meta.dirname, "../../node_modules/node/bin");
  return findProgram("node", project) ?? process.execPath;
}
