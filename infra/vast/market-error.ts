/**
 * What the market said no with, told apart once: nothing above this file looks at a status or a message text.
 * Source of the table: error bodies of the API reference and of third-party back ends (statuses vary: a taken
 * offer was seen as 400, 404 and 410, an unknown key as 401, 403 and 404).
 */

export type MarketErrorKind =
  | "auth" // unknown key or missing permission: never "gone"
  | "gone" // no such contract
  | "offer-gone" // offer unknown or taken
  | "no-credit"
  | "spend-limit"
  | "bid-too-low"
  | "busy" // the GPUs are taken: a start was queued
  | "rate" // 429
  | "server" // 5xx
  | "network" // no answer: the act may have happened
  | "unreadable" // an answer that is not what it should be
  | "refused"; // any other no

export class MarketError extends Error {
  readonly kind: MarketErrorKind;
  readonly status: number;
  /** The market's own words, at most a few hundred characters. */
  readonly detail: string;
  /** A contract that the refused rent left behind all the same: it bills until it is ended. */
  readonly createdContractId: number | undefined;
  /** Seconds that a 429 asks to wait, where it says so. */
  readonly retryAfterS: number | undefined;

  constructor(
    kind: MarketErrorKind,
    fields: {
      act: string;
      status?: number;
      detail?: string;
      createdContractId?: number;
      retryAfterS?: number;
      cause?: unknown;
    },
  ) {
    const status = fields.status ? ` (${fields.status})` : "";
    super(`${fields.act}: ${kind}${status}${fields.detail ? `: ${fields.detail}` : ""}`, { cause: fields.cause });
    this.name = "MarketError";
    this.kind = kind;
    this.status = fields.status ?? 0;
    this.detail = fields.detail ?? "";
    this.createdContractId = fields.createdContractId;
    this.retryAfterS = fields.retryAfterS;
  }
}

interface Rule {
  kind: MarketErrorKind;
  when(answer: { status: number; code: string; said: string; text: string }): boolean;
}

/** First match wins. `text` is the whole body, `said` its message, both in lower case; `code` is its `error` field. */
const RULES: Rule[] = [
  // First: what stands on an error page proves nothing, and after a 5xx or a 408 the act may have happened.
  { kind: "server", when: ({ status }) => status >= 500 || status === 408 },
  {
    kind: "no-credit",
    when: ({ code, text, status }) =>
      code === "insufficient_credit" || status === 411 || /lacks credit|insufficient[ _]credit/.test(text),
  },
  { kind: "spend-limit", when: ({ text }) => text.includes("spend_rate_limit") },
  // A quota for the day: asking again within minutes is of no use.
  { kind: "refused", when: ({ code }) => code === "search_quota_exceeded" },
  { kind: "rate", when: ({ status }) => status === 429 },
  {
    kind: "offer-gone",
    when: ({ code, said, text }) =>
      code === "no_such_ask" || text.includes("no_such_ask") || /\b(not|no longer) available\b/.test(said),
  },
  { kind: "auth", when: ({ status, code }) => status === 401 || status === 403 || code === "auth_error" },
  { kind: "gone", when: ({ code, status }) => code === "no_such_instance" || (status === 404 && code === "not_found") },
  {
    kind: "bid-too-low",
    when: ({ code, said }) => code === "invalid_price" || (/\bbid\b/.test(said) && /\bprice\b/.test(said)),
  },
  { kind: "busy", when: ({ code }) => code === "resources_unavailable" },
];

/** Reads an answer that means "no". `body` is the raw text: JSON, plain text or HTML. */
export function marketErrorFrom(
  act: string,
  status: number,
  body: string,
  retryAfterHeader?: string | null,
): MarketError {
  const json = parseObject(body);
  const code = typeof json?.error === "string" ? json.error : "";
  const said = [json?.msg, json?.message, json?.detail].find((part) => typeof part === "string") as string | undefined;
  const answer = { status, code, said: (said ?? "").toLowerCase(), text: body.toLowerCase() };
  const kind = RULES.find((rule) => rule.when(answer))?.kind ?? "refused";
  // Of an object only its message: what else is in it may be a key (`instance_api_key`).
  const detail = (said ?? (json ? code : body)).replace(/\s+/g, " ").trim().slice(0, 300);
  const createdContractId = typeof json?.new_contract === "number" ? json.new_contract : undefined;
  const retryAfterS = retryAfter(body, json, retryAfterHeader);
  return new MarketError(kind, {
    act,
    status,
    detail,
    ...(createdContractId !== undefined && { createdContractId }),
    ...(retryAfterS !== undefined && { retryAfterS }),
  });
}

/** A 429 tells its interval in a header, in `retry_after`, or in plain text ("endpoint threshold=4.5"). */
function retryAfter(
  body: string,
  json: Record<string, unknown> | undefined,
  header?: string | null,
): number | undefined {
  const candidates = [header, json?.retry_after, /threshold=([\d.]+)/.exec(body)?.[1]];
  return candidates.map(Number).find((seconds) => Number.isFinite(seconds) && seconds > 0);
}

function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return value && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
