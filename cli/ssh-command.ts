/**
 * The command that opens a shell on a machine, as a person can paste it now. `ssh <alias>` is promised only where
 * OpenSSH would find the alias, and find it written by this clone: the name belongs to the clone that ran `up` last.
 */
import { userInfo } from "node:os";
import { join } from "node:path";
import { readFileIfThere } from "../common/files.ts";
import type { StackConfig } from "../infra/config.ts";
import { shellQuote } from "../infra/shell-quote.ts";
import { includeLine } from "../infra/ssh/config-file.ts";
import { withInclude } from "../infra/ssh/include-line.ts";
import { hostAlias } from "../infra/vast/host-alias.ts";
import type { Contract } from "../infra/vast/wire.ts";

export interface SshPlace {
  stack: string;
  /** The machine's name in the stack. */
  name: string;
  stateDir: string;
  /** The home whose configuration OpenSSH reads: the user database's, whatever `$HOME` says. */
  home?: string;
}

/** `ssh vastlane-dev`, or `npx vastlane ssh --stack dev` where OpenSSH does not know that name. */
export function sshCommand(config: StackConfig | undefined, place: SshPlace): string {
  const alias = config && hostAlias(config, place.stack, place.name);
  if (alias !== undefined && isKnownToSsh(alias, place)) return `ssh ${alias}`;
  const node = place.name === "main" ? "" : ` --node ${shellQuote(place.name)}`;
  return `npx vastlane ssh --stack ${shellQuote(place.stack)}${node}`;
}

/** For a machine that vastlane did not rent: its address as the market says it; null while it has none. */
export function foreignSshCommand({ addresses, sshUser }: Pick<Contract, "addresses" | "sshUser">): string | null {
  const [first] = addresses;
  return first ? `ssh -p ${first.port} ${sshUser}@${first.host}` : null;
}

function isKnownToSsh(alias: string, { stateDir, home = userInfo().homedir }: SshPlace): boolean {
  const config = readFileIfThere(join(home, ".ssh", "config"));
  if (config === undefined || withInclude(config, includeLine(home)) !== config) return false;
  const entry = readFileIfThere(join(home, ".vastlane", "ssh.d", `${alias}.conf`));
  return entry?.includes(stateDir) ?? false;
}
