/**
 * The label that marks a contract as ours: `vl1:<scope>:<name>:<request hash>:<nonce>`.
 * It is the only thing that survives every crash: whoever lists the account's contracts can tell from it which
 * stack and instance a machine belongs to, and whether it still is the machine that was asked for.
 */
import { createHash, randomBytes } from "node:crypto";
import { Bug } from "../../common/errors.ts";

export interface Label {
  /** Which stack: a hash that no other clone, person or back end shares. */
  scope: string;
  /** Which instance of the stack. */
  name: string;
  /** What was asked for: contracts with another hash are not adopted. */
  requestHash: string;
  /** Which attempt: tells a lost reply from somebody else's rent. */
  nonce: string;
}

const PATTERN = /^vl1:([a-z0-9]+):([A-Za-z0-9_.-]+):([a-z0-9]+):([a-z0-9]+)$/;

/**
 * The label's text; about 45 characters (60 are proven safe on the market, 1024 allowed).
 * @throws Bug when a part has characters that the label cannot carry
 */
export function formatLabel(label: Label): string {
  const text = `vl1:${label.scope}:${label.name}:${label.requestHash}:${label.nonce}`;
  // A machine with a label that cannot be read back would be nobody's, and bill.
  if (!PATTERN.test(text)) throw new Bug(`the label ${text} cannot be read back`);
  return text;
}

/** The label's parts, or undefined for a contract that is not ours. */
export function parseLabel(text: string | null | undefined): Label | undefined {
  const match = PATTERN.exec(text ?? "");
  if (!match) return undefined;
  const [, scope = "", name = "", requestHash = "", nonce = ""] = match;
  return { scope, name, requestHash, nonce };
}

/** A scope from the stack's full name and the random uid that its guard keeps in the state. */
export function scopeOf(stack: { organization: string; project: string; stack: string; uid: string }): string {
  return hashText([stack.organization, stack.project, stack.stack, stack.uid].join("\n"), 12);
}

/** The part of a label that says what was asked for: what cannot be changed on a rented machine. */
export function requestHashOf(request: {
  image: string;
  diskGB: number;
  env: Record<string, string>;
  type: string;
}): string {
  const { image, diskGB, env, type } = request;
  return hashValue({ image, diskGB, env, type });
}

/** A hash of any JSON value that does not depend on the order of its keys. */
export function hashValue(value: unknown, length = 10): string {
  return hashText(canonicalJson(value), length);
}

/** JSON with sorted keys; keys whose value is undefined are left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    inner && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

export function newNonce(): string {
  return randomBytes(5).toString("hex");
}

function hashText(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
