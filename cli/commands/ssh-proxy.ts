/**
 * `vastlane ssh-proxy HOST`: what OpenSSH runs (ProxyCommand of our host entries) to reach a stack's current machine.
 * stdin and stdout are the SSH connection itself; everything for people goes to stderr.
 */
import { hasCode, messageOf, UserError } from "../../common/errors.ts";
import { readCurrentHost, writeCurrentHost } from "../../infra/ssh/current-host.ts";
import { readPin, writePin } from "../../infra/ssh/known-hosts.ts";
import { bridge, openSsh, scanHostKey } from "../../infra/ssh/proxy.ts";
import type { SshTarget } from "../../infra/ssh/target.ts";
import { type Command, EXIT, type Io } from "../command.ts";

export interface SshProxyParts {
  /**
   * The machine that the alias stands for now.
   * @throws UserError VL_NOT_FOUND when the stack has none; other errors mean that it could not be looked up.
   */
  resolveHost(host: string, io: Io): Promise<SshTarget>;
  /** The project's `.vastlane` folder, wherever ssh was started. */
  stateDir(io: Io): string;
}

export function sshProxyCommand(parts: SshProxyParts): Command {
  return {
    name: "ssh-proxy",
    summary: "carries an SSH connection to a stack's current machine (used by the SSH config, not by hand)",
    usage: "vastlane ssh-proxy HOST\n\n  HOST  the alias in the SSH config, such as vastlane-dev\n",
    async run(args, io) {
      const [host] = args;
      if (host === undefined || args.length !== 1) {
        throw new UserError("VL_USAGE", {
          what: "ssh-proxy wants one host alias",
          hint: "vastlane ssh-proxy vastlane-dev",
        });
      }
      const stateDir = parts.stateDir(io);
      const found = await lookUp(parts, host, stateDir, io);
      const [open, hostKeys] = await Promise.all([openSsh(found), keysOf(found, stateDir, io)]);
      // Before a byte goes on: OpenSSH asks `vastlane known-hosts` for this as soon as it has the greeting.
      writeCurrentHost(stateDir, host, { ...found, hostKeys });
      await bridge(open, process.stdin, process.stdout);
      return EXIT.done;
    },
  };
}

/** The current machine; while the market cannot be asked, the one of the last connection. */
async function lookUp(parts: SshProxyParts, host: string, stateDir: string, io: Io): Promise<SshTarget> {
  try {
    return await parts.resolveHost(host, io);
  } catch (error) {
    const last = readCurrentHost(stateDir, host);
    if (last === undefined || hasCode(error, "VL_NOT_FOUND")) throw error;
    io.stderr(
      `vastlane: could not look ${host} up (${messageOf(error).split("\n")[0]}); using the machine of last time\n`,
    );
    return last;
  }
}

/** Pinned keys; a machine that this computer has never met (rented by CI, say) is pinned now, and that is said. */
async function keysOf(target: SshTarget, stateDir: string, io: Io): Promise<string[] | null> {
  const known = target.hostKeys ?? readPin(stateDir, target.contractId);
  if (known !== null) return known;
  for (const address of target.addresses) {
    const key = await scanHostKey(address);
    if (key === null) continue;
    writePin(stateDir, target.contractId, [key]);
    io.stderr(`vastlane: first contact with contract ${target.contractId}: its host key is pinned from now on\n`);
    return [key];
  }
  return null;
}
