/**
 * `vastlane known-hosts HOST NAME`: what OpenSSH runs (KnownHostsCommand of our host entries) to learn the pinned
 * host key of the machine that `ssh-proxy` has just connected it to. No line means that OpenSSH refuses.
 */
import { readCurrentHost } from "../../infra/ssh/current-host.ts";
import { renderKnownHosts } from "../../infra/ssh/known-hosts.ts";
import { type Command, EXIT, type Io } from "../command.ts";

export function knownHostsCommand(parts: { stateDir(io: Io): string }): Command {
  return {
    name: "known-hosts",
    summary: "prints the pinned host key of a stack's current machine (used by the SSH config, not by hand)",
    usage:
      "vastlane known-hosts HOST [NAME]\n\n  HOST  the alias in the SSH config\n  NAME  the name under which OpenSSH looks the key up; default HOST\n",
    async run(args, io) {
      const [host = "", name = host] = args;
      io.stdout(renderKnownHosts(name, readCurrentHost(parts.stateDir(io), host)?.hostKeys ?? []));
      return EXIT.done;
    },
  };
}
