/**
 * What `ssh vastlane-<stack>` needs to know, and its text for OpenSSH.
 * The entry names no address and no contract: both are looked up at connect time (cli/commands/ssh-proxy.ts),
 * which is why it has no static HostKeyAlias either.
 */
import { UserError } from "../../common/errors.ts";
import { shellQuote } from "../shell-quote.ts";
import { renderTemplate } from "../templates.ts";
import { HOST_KEY_ALGORITHMS } from "./target.ts";

export interface HostEntry {
  /** The alias, `vastlane-<stack>` unless configured otherwise. */
  host: string;
  user: string;
  /** `LocalForward` lines, as `8080 localhost:6006`. */
  localForward: string[];
  /** Seconds between signs of life; four missed ones end the connection. */
  serverAliveInterval: number;
  /** Private key, or null for the agent and OpenSSH's defaults. */
  identityFile: string | null;
  /** Program and arguments that start our CLI for this project; absolute paths, as OpenSSH may run anywhere. */
  cli: string[];
}

/**
 * The entry as text for an ssh_config file.
 * @throws UserError VL_BAD_CONFIG when a value cannot stand in such a file.
 */
export function renderHostEntry(entry: HostEntry): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(entry.host)) {
    throw badValue("vastlane:ssh.host", entry.host, "a name of letters, digits, dots, dashes and underscores");
  }
  if (!/^[A-Za-z0-9._-]+$/.test(entry.user)) throw badValue("the machine's user", entry.user, "a user name");
  for (const forward of entry.localForward) {
    if (!/^\S+[ \t]+\S+$/.test(forward)) {
      throw badValue("vastlane:ssh.localForward", forward, 'two words such as "8080 localhost:6006"');
    }
  }
  return renderTemplate("ssh-config.hbs", {
    ...entry,
    hostKeyAlgorithms: HOST_KEY_ALGORITHMS,
    proxyCommand: [...entry.cli.map(shellQuote).map(percent), "ssh-proxy", "%n"].join(" "),
    // Not run by a shell: OpenSSH splits it into words itself and wants an absolute path first.
    knownHostsCommand: [...entry.cli.map(configWord), "known-hosts", "%n", "%H"].join(" "),
    identityFile: entry.identityFile === null ? null : configWord(entry.identityFile),
  });
}

/** One word of an ssh_config line. */
export function configWord(text: string): string {
  if (/["\n\r]/.test(text)) throw badValue("a path for OpenSSH's configuration", text, "a path without quotes");
  return /[\s'\\]/.test(text) ? `"${percent(text)}"` : percent(text);
}

function percent(text: string): string {
  return text.replaceAll("%", "%%");
}

function badValue(name: string, value: string, wanted: string): UserError {
  return new UserError("VL_BAD_CONFIG", {
    what: `${name} cannot be ${JSON.stringify(value)}`,
    why: `OpenSSH's configuration wants ${wanted} there`,
    hint: "correct the Pulumi.<stack>.yaml file",
  });
}
