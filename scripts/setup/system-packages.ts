/**
 * Installs missing system programs by apt, where that needs no question: as root or with passwordless sudo on Debian
 * and Ubuntu. openssh-server is installed with its own service off: the emulator starts its own sshd on loopback,
 * and nobody who tries a demo means to open port 22.
 */
import { execa } from "execa";
import type { Env } from "../../cli/project.ts";
import { missingTools, packageManager, type Tool } from "../../cli/tools.ts";
import type { Log } from "../../common/log.ts";

/** Tries to install the tools; gives those still missing, each with nothing more that set-up could do. */
export async function installTools(tools: readonly Tool[], env: Env, log: Log, signal: AbortSignal): Promise<Tool[]> {
  if (tools.length === 0) return [];
  const prefix = await rootPrefix(env);
  if (prefix === undefined) return [...tools];
  const packages = [...new Set(tools.map((tool) => tool.packages.apt).filter((name) => name !== null))];
  log(`${packages.join(", ")} by apt-get`);
  const [file = "sh", ...args] = [...prefix, "sh", "-c", SCRIPT, "sh", ...packages];
  const result = await execa(file, args, { stdin: "ignore", all: true, reject: false, cancelSignal: signal });
  signal.throwIfAborted();
  if (result.failed) log(`apt-get failed: ${result.all?.trim().split("\n").at(-1) ?? result.shortMessage}`);
  return missingTools(env, tools);
}

/** The words before a command that must run as root; undefined where apt is not ours to use. */
async function rootPrefix(env: Env): Promise<string[] | undefined> {
  if (packageManager() !== "apt" || env.VASTLANE_OFFLINE || env.VASTLANE_NO_APT) return undefined;
  if (process.getuid?.() === 0) return [];
  const sudo = await execa("sudo", ["-n", "true"], { stdin: "ignore", reject: false });
  return sudo.failed ? undefined : ["sudo", "-n"];
}

/** policy-rc.d answering 101 is Debian's way to install a daemon without starting it. */
const SCRIPT = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
fi
had_sshd=no
[ -x /usr/sbin/sshd ] && had_sshd=yes
export DEBIAN_FRONTEND=noninteractive
options="-y -q --no-install-recommends -o DPkg::Lock::Timeout=60 -o Acquire::Retries=1 -o Acquire::http::Timeout=20"
apt-get install $options "$@" || { apt-get update -q $options && apt-get install $options "$@"; } || exit 1
if [ $had_sshd = no ] && [ -x /usr/sbin/sshd ] && command -v systemctl > /dev/null; then
  systemctl disable --quiet ssh.service ssh.socket > /dev/null 2>&1 || true
fi
`;
