/** Text of an emulated machine's sshd configuration: keys only, generous limits, no name look-ups. */

export interface SshdSettings {
  listen: string;
  port: number;
  hostKey: string;
  authorizedKeys: string;
  /** File shown before the login (goes to the client's stderr). */
  banner: string;
  /** From `sshdVersion`, e.g. 9.2. */
  version: number;
  /** Whether sessions read /etc/environment through PAM, as in Vast's images. */
  usePam: boolean;
  /** Who may log in. */
  user: string;
  /** `internal-sftp`, or the path of sftp-server where a forced command has to start it. */
  sftp: string;
  /** Plain mode: what every session runs, and variables that it has from its first shell on, HOME among them. */
  forced?: { command: string; environment: Record<string, string> };
}

export const BANNER =
  "Welcome to vast.ai. If authentication fails, try again after a few seconds, and double check your ssh key.\nHave fun!\n";

export function sshdConfig(settings: SshdSettings): string {
  const lines = [
    `ListenAddress ${settings.listen}`,
    `Port ${settings.port}`,
    "AddressFamily inet",
    `HostKey ${quote(settings.hostKey)}`,
    `AuthorizedKeysFile ${quote(settings.authorizedKeys.replaceAll("%", "%%"))}`,
    `Banner ${quote(settings.banner)}`,
    `AllowUsers ${settings.user}`,
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    `UsePAM ${settings.usePam ? "yes" : "no"}`,
    "UseDNS no",
    // Nothing leaves this computer, and the post-quantum exchange that OpenSSH prefers costs 150 ms of a core a login.
    "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256",
    // In plain mode the home lies below folders whose owners and modes are not ours to judge.
    `StrictModes ${settings.forced ? "no" : "yes"}`,
    "PidFile none",
    "PrintMotd no",
    "PrintLastLog no",
    "X11Forwarding no",
    "AllowTcpForwarding yes",
    "AllowStreamLocalForwarding yes",
    "StreamLocalBindUnlink yes",
    "AcceptEnv LANG LC_*",
    "LoginGraceTime 60",
    "MaxSessions 200",
    "MaxStartups 500:30:1000",
    `Subsystem sftp ${settings.sftp}`,
  ];
  // Since 9.8 sshd shuts out an address after failures; here every client has the bridge's address.
  if (settings.version >= 9.8) lines.push("PerSourcePenalties no");
  if (settings.forced) {
    const variables = Object.entries(settings.forced.environment).map(([name, value]) => quote(`${name}=${value}`));
    // One line for all: of several SetEnv lines only the first counts.
    lines.push(`ForceCommand ${shellQuote(settings.forced.command)}`, `SetEnv ${variables.join(" ")}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Configuration of the stranger that answers under the fault `ssh-wrong-key`: another host key, and no way in. */
export function impostorConfig(hostKey: string): string {
  return [
    `HostKey ${quote(hostKey)}`,
    "AuthorizedKeysFile none",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "UsePAM no",
    "UseDNS no",
    "PidFile none",
    "",
  ].join("\n");
}

/** For a POSIX shell. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For sshd_config, which knows double quotes. */
function quote(text: string): string {
  return /[\s#']/.test(text) ? `"${text}"` : text;
}
