/** Every fault that can be switched on, with the part of the emulator that plays it and its parameters. */
import type { MachineFault } from "../machine/types.ts";

export interface FaultKind {
  /** One sentence for `vastlane emulator fault --help`. */
  meaning: string;
  /** `once`: used up by one hit unless `count` says more. `lasting`: until removed or `seconds` are over. */
  lasts: "once" | "lasting";
  params: Record<string, string>;
}

const on = "which calls: any, create, destroy, state, read, list, search, ssh, user, ... (default as the kind says)";
const operations = "only these operations of S3: PutObject, UploadPart, GetObject, ... (any)";
const id = "contract id; absent: the next contract that starts";

export const FAULT_KINDS = {
  "disk-full": { meaning: "The machine's disk takes no more bytes.", lasts: "once", params: { id } },
  "error-with-contract": {
    meaning: "A create answers with an error and leaves a stopped contract behind.",
    lasts: "once",
    params: { status: "HTTP status (400)" },
  },
  "host-offline": {
    meaning: "The host of a contract or machine loses contact for some seconds.",
    lasts: "lasting",
    params: { id: "contract id", machineId: "machine id", crash: "true: its processes die too" },
  },
  "list-cut": {
    meaning: "The list of instances is cut: rows are missing and so is next_token.",
    lasts: "once",
    params: { keep: "rows kept (half)" },
  },
  "list-unreadable": {
    meaning: "The list of instances has a body that is no JSON.",
    lasts: "once",
    params: { body: "empty | html | truncated | null (html)" },
  },
  "market-down": { meaning: "Every connection is closed without an answer.", lasts: "lasting", params: {} },
  "no-credit": { meaning: "Create and start answer that the account lacks credit.", lasts: "lasting", params: {} },
  "offer-taken": {
    meaning: "The offer is gone between search and rent.",
    lasts: "once",
    params: { status: "404, 410 or 400 (404; 410 with cancel_unavail)", offerId: "only this offer" },
  },
  "rate-limit": {
    meaning: "Calls answer 429.",
    lasts: "once",
    params: { on, form: "text | json (text)", retryAfter: "seconds for a Retry-After header" },
  },
  "read-lag": {
    meaning: "A new contract is not seen by reads for some seconds.",
    lasts: "lasting",
    params: { lag: "seconds (seconds, else 5)" },
  },
  "reply-delayed": { meaning: "The answer comes late.", lasts: "once", params: { on, delay: "seconds (5)" } },
  "reply-lost": { meaning: "The call takes effect and its answer is lost.", lasts: "once", params: { on } },
  "server-error": {
    meaning: "Calls answer a server error without effect.",
    lasts: "once",
    params: { on, status: "500..599 (500)", body: "text of the answer" },
  },
  "s3-down": { meaning: "The store closes every connection without an answer.", lasts: "lasting", params: {} },
  "s3-error": {
    meaning: "Requests to the store answer an error without effect.",
    lasts: "once",
    params: { status: "HTTP status (500)", code: "S3's word for it (as the status says)", on: operations },
  },
  "s3-no-conditions": {
    meaning: "The store has no conditional writes: If-Match and If-None-Match are answered 501.",
    lasts: "lasting",
    params: {},
  },
  "s3-slow": {
    meaning: "The store is slow.",
    lasts: "lasting",
    params: { ms: "real milliseconds before each answer (0)", bytesPerSecond: "of each transfer (no limit)" },
  },
  "s3-slow-down": {
    meaning: "Requests to the store answer 503 SlowDown.",
    lasts: "once",
    params: { on: operations },
  },
  "s3-torn": {
    meaning: "The connection is cut in the middle of an upload or download.",
    lasts: "once",
    params: { direction: "up | down (either)", on: operations },
  },
  "ssh-refused": { meaning: "The machine's SSH ports refuse connections.", lasts: "once", params: { id } },
  "ssh-slow": { meaning: "The machine's SSH answers very slowly.", lasts: "once", params: { id } },
  "ssh-wrong-key": { meaning: "The machine's sshd does not know the key.", lasts: "once", params: { id } },
  "start-error": {
    meaning: "The container cannot be started; Docker says why.",
    lasts: "once",
    params: { id, text: "Docker's text" },
  },
  "stuck-loading": { meaning: "The contract never leaves loading.", lasts: "once", params: { id } },
  "v0-list": {
    meaning: "What the retired list GET /api/v0/instances/ answers.",
    lasts: "lasting",
    params: { mode: "old | gone | empty (gone)" },
  },
} as const satisfies Record<string, FaultKind>;

/** The faults that a machine plays by itself. */
export const MACHINE_FAULTS = [
  "ssh-refused",
  "ssh-slow",
  "ssh-wrong-key",
  "disk-full",
] as const satisfies MachineFault[];

export type FaultName = keyof typeof FAULT_KINDS;

export function isFaultName(name: unknown): name is FaultName {
  return typeof name === "string" && Object.hasOwn(FAULT_KINDS, name);
}
