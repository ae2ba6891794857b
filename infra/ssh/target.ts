/**
 * Where a machine answers SSH, and the arguments that make the system's OpenSSH go there safely.
 *
 * The person's own `~/.ssh/config` stays in force (no `-F none`): agents, FIDO keys, `IdentityAgent` and a
 * `ProxyJump` out of a company network are settings that only it knows. What in it could surprise an unattended
 * connection, or give a stranger's host something, is overridden one by one below.
 */

export interface SshAddress {
  host: string;
  port: number;
  /** `direct`: the host's own address, faster. `proxy`: through the market's gateway, always there. */
  kind: "direct" | "proxy";
}

export interface SshTarget {
  contractId: number;
  user: string;
  /** In the order in which they are tried. */
  addresses: SshAddress[];
  /** Pinned host keys as `type base64`; null before the first contact. */
  hostKeys: string[] | null;
  /** Private key (or the public half of one that the agent holds); null: agent and OpenSSH's defaults. */
  identityFile: string | null;
}

/**
 * Key types in one fixed order for every connection of ours. A server has several host keys, and the first
 * type here that it offers is the one that gets pinned and the one that is asked for ever after. Naming the
 * list also spares one call of KnownHostsCommand, which OpenSSH otherwise makes just to find an order.
 */
export const HOST_KEY_ALGORITHMS = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";

/** The name under which a contract's host keys are kept: addresses are reused by later machines, ids are not. */
export function hostKeyAlias(contractId: number): string {
  return `vastlane-contract-${contractId}`;
}

export interface SshArgumentOptions {
  /** Holds the pinned keys, or receives them at the first contact. */
  knownHostsFile: string;
  /** Limit for the TCP connection and the key exchange, in seconds. */
  connectTimeoutSeconds?: number;
  /** Where OpenSSH writes its own messages, so that stderr is the remote command's alone. */
  logFile?: string;
  /** Further `-o` settings; they win over those below. */
  options?: Record<string, string>;
}

/**
 * Arguments for `ssh`, the host last; append the remote command. Strict when keys are pinned; the first contact
 * accepts the key it meets and writes it to `knownHostsFile`.
 */
export function sshArguments(target: SshTarget, address: SshAddress, options: SshArgumentOptions): string[] {
  const settings: Record<string, string> = {
    BatchMode: "yes",
    ConnectTimeout: String(options.connectTimeoutSeconds ?? 10),
    HostKeyAlias: hostKeyAlias(target.contractId),
    HostKeyAlgorithms: HOST_KEY_ALGORITHMS,
    UserKnownHostsFile: quoted(options.knownHostsFile),
    GlobalKnownHostsFile: "/dev/null",
    KnownHostsCommand: "none",
    StrictHostKeyChecking: target.hostKeys === null ? "accept-new" : "yes",
    HashKnownHosts: "no",
    UpdateHostKeys: "no",
    VerifyHostKeyDNS: "no",
    CheckHostIP: "no",
    ServerAliveInterval: "10",
    ServerAliveCountMax: "3",
    LogLevel: "ERROR",
    // A shared master of the person's own would outlive the machine and answer for its successor.
    ControlMaster: "no",
    ControlPath: "none",
    // The machine is a stranger's: nothing of this computer is lent to it.
    ForwardAgent: "no",
    ForwardX11: "no",
    ClearAllForwardings: "yes",
    PermitLocalCommand: "no",
    RemoteCommand: "none",
    RequestTTY: "no",
    ...(target.identityFile === null ? {} : { IdentitiesOnly: "yes" }),
    // A jump host of `Host *` would look for the emulator's machine on its own loopback.
    ...(isLoopback(address.host) ? { ProxyJump: "none" } : {}),
    ...options.options,
  };
  return [
    ...Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(options.logFile === undefined ? [] : ["-E", options.logFile]),
    ...(target.identityFile === null ? [] : ["-i", target.identityFile]),
    "-p",
    String(address.port),
    "-l",
    target.user,
    "--",
    address.host,
  ];
}

/** `host:port (direct)`, for messages. */
export function addressText(address: SshAddress): string {
  return `${address.host}:${address.port} (${address.kind})`;
}

/** ssh_config reads a value as words: a path with blanks needs quotes, and a percent sign starts a token. */
function quoted(path: string): string {
  return `"${path.replaceAll("%", "%%")}"`;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
