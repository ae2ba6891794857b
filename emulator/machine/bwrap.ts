/** The argument list of bubblewrap for one isolated machine: a container with about Docker's rights. */
import type { Base } from "./image.ts";

export interface Sandbox {
  disk: string;
  hostname: string;
  environment: Record<string, string>;
  base: Pick<Base, "shared" | "node">;
  binds: { from: string; to: string }[];
  command: string[];
}

/** Docker's default set, less mknod and raw sockets: enough for sshd, package managers and chown. */
// biome-ignore format: names, not structure
const CAPABILITIES = [
  "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP",
  "NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE",
];

/**
 * All options, for `--args FD`: variables hold keys, which must not show in the process list.
 * Later mounts lie on top of earlier ones. There is no --die-with-parent: machines outlive the daemon.
 */
export function sandboxOptions({ disk, hostname, environment, base, binds }: Omit<Sandbox, "command">): string[] {
  // biome-ignore format: an option and its values share a line
  return [
    "--unshare-net", "--unshare-pid", "--unshare-uts", "--unshare-ipc", "--unshare-cgroup-try",
    "--as-pid-1",
    "--hostname", hostname,
    "--bind", disk, "/",
    ...base.shared.flatMap((path) => ["--ro-bind", path, path]),
    "--bind", `${disk}/usr/local`, "/usr/local",
    "--ro-bind", base.node, "/usr/local/bin/node",
    ...binds.flatMap(({ from, to }) => ["--ro-bind", from, to]),
    "--proc", "/proc",
    "--dev", "/dev",
    "--cap-drop", "ALL",
    ...CAPABILITIES.flatMap((name) => ["--cap-add", `CAP_${name}`]),
    ...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value]),
    "--chdir", "/root",
  ];
}

/** Command line: options come through `argsFd`, facts go out through `infoFd`, and the command waits for `blockFd` to close. */
export function sandboxCommand(fds: { args: number; info: number; block: number }, command: string[]): string[] {
  return ["--args", String(fds.args), "--info-fd", String(fds.info), "--block-fd", String(fds.block), "--", ...command];
}
