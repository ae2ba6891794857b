/**
 * Why an SSH connection failed, told from OpenSSH's own messages.
 * This is the one place that reads them: OpenSSH gives one exit status (255) for everything.
 */
import { UserError } from "../../common/errors.ts";
import { addressText, type SshAddress, type SshTarget } from "./target.ts";

export type SshFailureReason =
  | "refused"
  | "timeout"
  | "unreachable"
  | "host-key-changed"
  | "permission-denied"
  | "closed"
  | "lost"
  | "ssh-missing"
  | "other";

/** A connection that did not work; `reason` is for code, the rest for people. */
export class SshFailure extends UserError {
  readonly reason: SshFailureReason;

  constructor(reason: SshFailureReason, text: { what: string; why?: string; hint?: string }) {
    super(reason === "ssh-missing" ? "VL_TOOL_MISSING" : "VL_SSH_FAILED", text);
    this.name = "SshFailure";
    this.reason = reason;
  }
}

/** OpenSSH 7.6 to 10: message -> reason, first match wins. */
const SIGNS: [RegExp, SshFailureReason][] = [
  [/REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|No \S+ host key is known/, "host-key-changed"],
  [/Permission denied|Too many authentication failures|no mutual signature/i, "permission-denied"],
  [/Connection refused/, "refused"],
  [/timed out|Timeout/i, "timeout"],
  [/No route to host|Network is unreachable|Could not resolve|Name or service not known/i, "unreachable"],
  [/closed by remote host\.?$|Broken pipe|client_loop|mux_client_/m, "lost"],
  [/kex_exchange_identification|banner exchange|Connection closed by|Connection reset/i, "closed"],
];

/**
 * The reason behind OpenSSH's messages of one failed connection. `lost` means that the session had begun, so the
 * remote command may have run; after every other reason it has not.
 */
export function reasonOf(log: string): SshFailureReason {
  // "kex_exchange_identification: Connection closed by remote host" happens before any session.
  if (/kex_exchange_identification/.test(log)) return /timed out/i.test(log) ? "timeout" : "closed";
  return SIGNS.find(([sign]) => sign.test(log))?.[1] ?? "other";
}

const WHAT: Record<SshFailureReason, string> = {
  refused: "the connection was refused",
  timeout: "no answer in time",
  unreachable: "the address cannot be reached",
  "host-key-changed": "the machine shows another host key than the one pinned at the first contact",
  "permission-denied": "the machine accepts none of the keys offered",
  closed: "the other side closed the connection before the log-in",
  lost: "the connection broke while the command ran",
  "ssh-missing": "there is no ssh program on this computer",
  other: "ssh failed",
};

const HINT: Record<SshFailureReason, string> = {
  refused: "wait a minute if the machine has just started; else rent another: `vastlane destroy`, then `vastlane up`",
  timeout: "check the network here; if the machine stays silent, rent another: `vastlane destroy`, then `vastlane up`",
  unreachable:
    "check the network here; if the machine stays silent, rent another: `vastlane destroy`, then `vastlane up`",
  "host-key-changed":
    "somebody may be in between, or the address now belongs to another machine: do not trust it; destroy this machine",
  "permission-denied":
    "set vastlane:ssh.publicKey and vastlane:ssh.privateKey to the two halves of one key, or load the key with ssh-add",
  closed: "wait a minute if the machine has just started; else rent another: `vastlane destroy`, then `vastlane up`",
  lost: "run the command again",
  "ssh-missing": "install OpenSSH's client (Debian: apt-get install openssh-client) and try again",
  other: "try the connection by hand with `ssh -v` to see more",
};

/** How much a reason tells about the machine: the most telling one of several addresses is reported. */
const WEIGHT: SshFailureReason[] = [
  "ssh-missing",
  "host-key-changed",
  "permission-denied",
  "lost",
  "other",
  "closed",
  "refused",
  "timeout",
  "unreachable",
];

export interface Attempt {
  address: SshAddress;
  reason: SshFailureReason;
  /** OpenSSH's messages. */
  log: string;
}

/** One error for all addresses tried: the most telling reason first, each address named. */
export function failureOf(target: SshTarget, attempts: readonly Attempt[], offeredKeys: readonly string[]): SshFailure {
  const sorted = [...attempts].sort((a, b) => WEIGHT.indexOf(a.reason) - WEIGHT.indexOf(b.reason));
  const reason = sorted[0]?.reason ?? "other";
  const lines = sorted.map((attempt) => {
    const detail = attempt.reason === "other" || attempt.reason === "lost" ? lastLine(attempt.log) : "";
    return `${addressText(attempt.address)}: ${WHAT[attempt.reason]}${detail ? `: ${detail}` : ""}`;
  });
  if (reason === "permission-denied") lines.push(keysText(target, offeredKeys));
  return new SshFailure(reason, {
    what: `no SSH connection to the machine of contract ${target.contractId} as ${target.user}`,
    why: lines.join("\n"),
    hint: HINT[reason],
  });
}

function keysText(target: SshTarget, offered: readonly string[]): string {
  if (offered.length > 0) return `keys offered: ${offered.join(", ")}`;
  if (target.identityFile !== null) return `key used: ${target.identityFile} (missing, unreadable or locked)`;
  return "no key was offered: the agent holds none and ~/.ssh has none of the usual names";
}

function lastLine(log: string): string {
  return log.trim().split(/\r?\n/).at(-1)?.slice(0, 300) ?? "";
}
