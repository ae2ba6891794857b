/** `vastlane ssh`: a shell, or one command, on the stack's machine through the system's OpenSSH. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { renderKnownHosts } from "../../infra/ssh/known-hosts.ts";
import { openSsh } from "../../infra/ssh/proxy.ts";
import { hostKeyAlias, sshArguments } from "../../infra/ssh/target.ts";
import type { Command } from "../command.ts";
import { defaultStack } from "../operation.ts";
import { readOptions } from "../options.ts";
import { resolveTarget } from "../session.ts";

export const command: Command = {
  name: "ssh",
  summary: "open a shell on the stack's machine, or run one command there",
  usage: `vastlane ssh [--stack NAME] [--node NAME] [-- COMMAND...]

  --stack NAME  the stack (default: $VASTLANE_STACK, or local)
  --node NAME   the machine (default: main)

Examples:
  vastlane ssh
  vastlane ssh --stack dev -- nvidia-smi`,
  async run(args, io) {
    const split = args.indexOf("--");
    const [own, remote] = split < 0 ? [args, []] : [args.slice(0, split), args.slice(split + 1)];
    const options = { stack: { type: "string" }, node: { type: "string" } } as const;
    const { values, positionals } = readOptions("ssh", own, options, own);
    if (positionals.length > 0)
      throw new UserError("VL_USAGE", {
        what: `ssh does not take the argument ${positionals[0]}`,
        why: "the command for the machine stands behind --",
        hint: `vastlane ssh -- ${positionals.join(" ")}`,
      });
    const target = await resolveTarget(values.stack ?? defaultStack(io.env), values.node ?? "main", io);
    const open = await openSsh(target);
    open.socket.destroy();
    const folder = mkdtempSync(join(tmpdir(), "vastlane-ssh-"));
    try {
      const knownHostsFile = join(folder, "known_hosts");
      writeFileSync(knownHostsFile, renderKnownHosts(hostKeyAlias(target.contractId), target.hostKeys ?? []), {
        mode: 0o600,
      });
      const sshOptions = { RequestTTY: remote.length === 0 ? "auto" : "no", BatchMode: "no" };
      const child = spawn(
        "ssh",
        [...sshArguments(target, open.address, { knownHostsFile, options: sshOptions }), ...remote],
        {
          stdio: "inherit",
        },
      );
      return await new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (code) => resolve(code ?? 1));
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
