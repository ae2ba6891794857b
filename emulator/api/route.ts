/** The vocabulary of the API: what a route is, what its handler gets and may answer. */
import type { World } from "../market/world.ts";
import type { AccountRecord, KeyRecord } from "../state/records.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Permission categories of vast-api.md 7.3; `open` needs no key at all. */
export type Scope =
  | "open"
  | "instance_read"
  | "instance_write"
  | "user_read"
  | "user_write"
  | "billing_read"
  | "billing_write"
  | "machine_read"
  | "machine_write"
  | "misc"
  | "team_read"
  | "team_write";

/** What faults and rate limits call a route: a person's word for what the call does. */
export type CallKind =
  | "create"
  | "destroy"
  | "state"
  | "bid"
  | "read"
  | "list"
  | "search"
  | "ssh"
  | "user"
  | "billing"
  | "other";

export interface Route {
  method: Method;
  /** Path below the host with `:name` for a number or a text; both slash forms are served. */
  path: string;
  scope: Scope;
  call: CallKind;
  /** Name for narrowed permissions and audit: `api.instance.show`. */
  name: string;
  /** Seconds that must lie between two calls when rate limits are on (vast-api.md 1.5). */
  threshold?: number;
  /** The key inside a machine may call it for its own contract. */
  forInstanceKey?: boolean;
  handler: (call: Call) => Reply | Promise<Reply>;
}

export interface Call {
  world: World;
  /** Market time of the call; everything has been settled up to it. */
  t: number;
  account: AccountRecord;
  key: KeyRecord;
  params: Record<string, string>;
  query: URLSearchParams;
  body: Record<string, unknown>;
  /** Base URL at which the caller reached us, for links in answers. */
  baseUrl: string;
}

/** `json` goes out as `application/json` without charset, which the official client insists on. */
export interface Reply {
  status: number;
  json?: unknown;
  text?: string;
  contentType?: string;
  headers?: Record<string, string>;
}

type Access = Pick<Route, "scope" | "call">;
type Limits = Pick<Route, "threshold" | "forInstanceKey">;
type Make = (path: string, access: Access, name: string, handler: Route["handler"], limits?: Limits) => Route;

const make =
  (method: Method): Make =>
  (path, access, name, handler, limits = {}) => ({ method, path, ...access, name, handler, ...limits });

/** One line of a route table each. */
export const get = make("GET");
export const post = make("POST");
export const put = make("PUT");
export const del = make("DELETE");

export const ok = (json: unknown): Reply => ({ status: 200, json });

/** An answer of the market that says no. */
export class ApiError extends Error {
  readonly reply: Reply;

  constructor(status: number, error: string, msg: string, more: Record<string, unknown> = {}) {
    super(msg);
    this.reply = { status, json: { success: false, error, msg, ...more } };
  }
}

/** The number in the path; anything else is an invalid id. */
export function idParam(call: Call, name = "id"): number {
  const id = Number(call.params[name]);
  if (!Number.isSafeInteger(id)) throw new ApiError(400, "invalid_id", `error 400: invalid id ${call.params[name]}`);
  return id;
}

/** A query parameter that holds JSON; absent: `fallback`. */
export function jsonParam<T>(call: Call, name: string, fallback: T): T {
  const text = call.query.get(name);
  if (text === null || text === "") return fallback;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError(400, "invalid_request", `error 400: ${name} is not valid JSON`);
  }
}
