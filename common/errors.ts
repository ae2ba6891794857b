/**
 * The errors that people see, and the two that they should not.
 * A `UserError` is something its reader can act on: three lines, no stack. Everything else is a `Bug`
 * or a `MarketError` that somebody above turns into a `UserError` or retries.
 * The table below is the only list of codes; docs/errors.md is generated from it.
 */

/** Every stable code, with one sentence for the reference page: when it appears. */
export const ERROR_CODES = {
  VL_ACCOUNT_REFUSED: "The market does not know the account key, or the key lacks a permission.",
  VL_BAD_CONFIG: "The stack's configuration has wrong, missing or unknown keys; all of them are listed.",
  VL_BID_TOO_LOW: "The bid, or the highest bid that the price cap allows, is below the lowest winning bid.",
  VL_BUCKET_REFUSED: "The store refuses the bucket: its name is not valid or belongs to somebody else.",
  VL_CANCELLED: "The operation was cancelled (Ctrl-C, or the Pulumi engine went away).",
  VL_CHECKPOINT_BAD: "A checkpoint is damaged, incomplete, of another experiment, or of a newer format.",
  VL_DEPLOY_FAILED: "The machine runs, but the project could not be copied to it or started on it.",
  VL_DESTROY_UNPROVEN: "A machine was told to go, and the market does not confirm that it is gone.",
  VL_DISK_FULL: "A disk has no space left, here or on the machine.",
  VL_EMULATOR_DOWN: "The stack uses the emulated market, and no emulator is running.",
  VL_EMULATOR_FAILED: "The emulator could not start.",
  VL_ENGINE_MISSING: "The pinned Pulumi engine or a plugin is not there and could not be fetched.",
  VL_KEY_FILE: "The SSH key file is missing or unreadable.",
  VL_LEASE_HELD: "Another agent works on the same run; this one waits or ends.",
  VL_LEASE_LOST: "Another agent has taken the run over; what this one still writes is never used.",
  VL_LOCKED: "Another Pulumi operation holds the stack's lock and is alive.",
  VL_LOSS_NOT_FINITE: "The loss of a training became NaN or infinite; nothing was saved after it.",
  VL_MARKET_DOWN: "The market cannot be reached or answers with server errors.",
  VL_MARKET_UNREADABLE: "The market's answer could not be understood or was cut; nothing was concluded from it.",
  VL_NOT_FOUND: "The named machine, stack or run does not exist.",
  VL_NOT_READY: "The machine was rented but did not become usable in time; it is kept in the state.",
  VL_NO_CREDIT: "The account has no credit left.",
  VL_NO_KEY: "No account key was found.",
  VL_NO_OFFER: "No offer on the market fits the request.",
  VL_PORT_IN_USE: "The port is taken by another program.",
  VL_PULUMI_FAILED: "The Pulumi engine reported a failure.",
  VL_RUN_CLOSED: "The run has ended (done, failed or over budget) and is not rented again as it is.",
  VL_RUN_REFUSED: "The run's code or parameters have changed, and the configuration says to refuse that.",
  VL_SETUP_FAILED: "Set-up could not install what the project needs.",
  VL_SSH_FAILED: "SSH to the machine did not work.",
  VL_STORE_CLOCK: "The store refuses requests because this computer's clock is wrong.",
  VL_STORE_DENIED: "The store refuses the keys, or they lack a permission.",
  VL_STORE_DOWN: "The store cannot be reached or answers with server errors.",
  VL_STORE_FAILED: "The store refused a request for a reason that has no code of its own.",
  VL_STORE_NO_BUCKET: "The bucket does not exist.",
  VL_STORE_NO_KEY: "No keys for the store were found.",
  VL_STORE_REGION: "The bucket is in another region than the one that was asked.",
  VL_TOOL_MISSING: "A program that this command needs (ssh, sshd, bwrap, rsync) is not installed.",
  VL_USAGE: "The command line was wrong.",
  VL_WRONG_ACCOUNT: "The account key belongs to another account than the one that rented the stack's machines.",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What a person reads: what happened, why, and what to do. `why` and `hint` may be several lines. */
export interface ErrorText {
  what: string;
  why?: string;
  hint?: string;
  cause?: unknown;
}

/** A failure that its reader can act on. Printed as up to three lines, without a stack. */
export class UserError extends Error {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, text: ErrorText) {
    super(formatError(code, text), text.cause === undefined ? undefined : { cause: text.cause });
    this.name = "UserError";
    this.code = code;
    this.what = text.what;
    this.why = text.why;
    this.hint = text.hint;
  }
}

/** Whether it is the `UserError` of that code. */
export function hasCode(error: unknown, code: ErrorCode): error is UserError {
  return error instanceof UserError && error.code === code;
}

/** A broken invariant of ours; its message begins with `internal:` and its stack is shown. */
export class Bug extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`internal: ${message}`, options);
    this.name = "Bug";
  }
}

/** The text of a `UserError`: `CODE: what`, then `why`, then `-> hint`, one below the other. */
export function formatError(code: ErrorCode, text: ErrorText): string {
  const lines = [`${code}: ${text.what}`];
  if (text.why) lines.push(`  why: ${indent(text.why)}`);
  if (text.hint) lines.push(`  do:  ${indent(text.hint)}`);
  return lines.join("\n");
}

/** Further lines start below the first one's text. */
function indent(text: string): string {
  return text.replaceAll("\n", "\n       ");
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
