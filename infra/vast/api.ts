/**
 * Typed client of the market's REST API: one function per call, one retry policy, answers checked by zod.
 * It decides nothing. What matters for money: a rent is never repeated blindly, an unreadable or cut list is an
 * error and never "none", and an unknown key is never "gone".
 */
import { z } from "zod";
import { type Clock, systemClock } from "../../common/clock.ts";
import { type RetryPolicy, retry } from "../../common/retry.ts";
import type { Secret } from "../../common/secret.ts";
import { MarketError, type MarketErrorKind, marketErrorFrom } from "./market-error.ts";
import { createPace, DOCUMENTED_INTERVALS_S, type Pace } from "./pace.ts";
import * as wire from "./wire.ts";

export interface RentOrder {
  image: string;
  diskGB: number;
  /** USD per hour for the GPUs; null: on demand. */
  bidPerHour: number | null;
  label: string;
  onstart: string;
  env: Record<string, string>;
}

export interface Account {
  id: number;
  creditUsd: number;
}

export interface MarketApi {
  readonly url: string;
  /** The market's clock in Unix seconds, as its last answer told; this computer's own before the first. */
  nowS(): number;
  account(): Promise<Account>;
  /** One page of at most 64 offers, in the query's order. */
  searchOffers(query: Record<string, unknown>): Promise<wire.Offer[]>;
  /**
   * Rents an offer. Never retried after an answer or a lost connection: look for the label instead. `beforeSend` runs
   * right before each try, which may be minutes after the call (rate limit); what it throws ends the rent unsent.
   * Leaves: a contract when it returns; possibly one when it throws a MarketError (`createdContractId`, or one of
   * the kinds in `MAY_HAVE_RENTED` of lifecycle.ts).
   */
  rent(offerId: number, order: RentOrder, beforeSend: () => Promise<void>): Promise<number>;
  /** Every contract of the account. @throws MarketError "unreadable" when pages are missing. */
  listContracts(): Promise<wire.Contract[]>;
  /** Tells a contract to go. False: the market has no such contract (or, right after a rent, not yet). */
  destroy(contractId: number): Promise<boolean>;
  setState(contractId: number, state: "running" | "stopped"): Promise<void>;
  setLabel(contractId: number, label: string): Promise<void>;
  setBid(contractId: number, bidPerHour: number): Promise<void>;
  attachKey(contractId: number, publicKey: string): Promise<void>;
  /** The container's log text; empty while the market has not collected it. */
  containerLog(contractId: number, tail: number): Promise<string>;
}

export interface ApiOptions {
  url: string;
  key: Secret;
  clock?: Clock;
  random?: () => number;
  signal?: AbortSignal;
  fetch?: typeof fetch;
  /** Longest time that one call keeps trying, in ms. */
  patienceMs?: number;
}

const TIMEOUT_MS = 30_000;
const PAGE = 25;
const MAX_PAGES = 400;

const RETRIED: ReadonlySet<MarketErrorKind> = new Set(["rate", "server", "network"]);

export function createApi(options: ApiOptions): MarketApi {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? Math.random;
  const isLocal = isLoopback(options.url);
  const pace = createPace(clock, isLocal ? {} : DOCUMENTED_INTERVALS_S);
  const policy: RetryPolicy = {
    totalMs: options.patienceMs ?? 30_000,
    firstMs: isLocal ? 100 : 1000,
    factor: 1.7,
    maxMs: 10_000,
  };
  const context: Context = { options, clock, random, pace, policy, aheadS: 0 };
  const call = <T>(request: Request_, answer: z.ZodType<T>) => callMarket(context, request, answer);

  return {
    url: options.url,
    nowS: () => clock.now() / 1000 + context.aheadS,

    async account() {
      const user = await call(
        { act: "reading the account", method: "GET", path: "/api/v0/users/current", endpoint: "user" },
        wire.userAnswer,
      );
      return { id: user.id, creditUsd: user.credit ?? user.balance ?? 0 };
    },

    async searchOffers(query) {
      const answer = await call(
        { act: "searching offers", method: "POST", path: "/api/v0/bundles/", body: query, endpoint: "search" },
        wire.offersAnswer,
      );
      // A row that cannot be read is an offer less to choose from; only when all are, something is wrong.
      const offers = answer.offers.flatMap((row) => wire.readOffer(row) ?? []);
      if (offers.length === 0) for (const row of answer.offers) checked("searching offers", () => wire.toOffer(row));
      return offers;
    },

    async rent(offerId, order, beforeSend) {
      const request: Request_ = {
        act: `renting offer ${offerId}`,
        method: "PUT",
        path: `/api/v0/asks/${offerId}/`,
        endpoint: "create",
        body: {
          client_id: "me",
          image: order.image,
          env: order.env,
          price: order.bidPerHour,
          disk: order.diskGB,
          label: order.label,
          onstart: order.onstart,
          runtype: "ssh_direc ssh_proxy",
          // A bid that loses at once must fail instead of leaving a stopped contract whose disk bills.
          cancel_unavail: true,
          target_state: "running",
        },
        // A 429 is refused before anything happens; everything else may have rented.
        retried: new Set(["rate"]),
        patienceMs: 300_000,
        beforeSend,
      };
      const answer = await call(request, wire.rentAnswer);
      if (answer.success === false || (answer.new_contract == null && answer.error)) {
        throw marketErrorFrom(request.act, 200, JSON.stringify(answer));
      }
      if (answer.new_contract == null) {
        throw new MarketError("unreadable", { act: request.act, detail: "it succeeded but names no contract" });
      }
      return answer.new_contract;
    },

    listContracts: () => listAll(call),

    async destroy(contractId) {
      try {
        await call(
          {
            act: `destroying contract ${contractId}`,
            method: "DELETE",
            path: `/api/v0/instances/${contractId}/`,
            body: {},
            endpoint: "destroy",
            patienceMs: 120_000,
            expectSuccess: true,
          },
          wire.successAnswer,
        );
        return true;
      } catch (error) {
        if (!(error instanceof MarketError && error.kind === "gone")) throw error;
        return false;
      }
    },

    async setState(contractId, state) {
      await call(
        {
          act: `setting contract ${contractId} to ${state}`,
          method: "PUT",
          path: `/api/v0/instances/${contractId}/`,
          body: { state },
          endpoint: "manage",
          expectSuccess: true,
        },
        wire.successAnswer,
      );
    },

    async setLabel(contractId, label) {
      await call(
        {
          act: `labelling contract ${contractId}`,
          method: "PUT",
          path: `/api/v0/instances/${contractId}/`,
          body: { label },
          endpoint: "manage",
          expectSuccess: true,
        },
        wire.successAnswer,
      );
    },

    async setBid(contractId, bidPerHour) {
      await call(
        {
          act: `changing the bid of contract ${contractId}`,
          method: "PUT",
          path: `/api/v0/instances/bid_price/${contractId}/`,
          body: { client_id: "me", price: bidPerHour },
          endpoint: "bid",
          expectSuccess: true,
        },
        wire.successAnswer,
      );
    },

    async attachKey(contractId, publicKey) {
      await call(
        {
          act: `attaching the SSH key to contract ${contractId}`,
          method: "POST",
          path: `/api/v0/instances/${contractId}/ssh/`,
          body: { ssh_key: publicKey },
          endpoint: "keys",
          expectSuccess: true,
        },
        wire.successAnswer,
      );
    },

    async containerLog(contractId, tail) {
      const act = `reading the log of contract ${contractId}`;
      const answer = await call(
        {
          act,
          method: "PUT",
          path: `/api/v0/instances/request_logs/${contractId}/`,
          body: { tail: String(tail) },
          endpoint: "logs",
        },
        wire.logsAnswer,
      );
      if (!answer.result_url) return answer.msg ?? "";
      // The result is a public file that appears some time after the request; it must not see our key.
      for (let i = 0; i < 30; i++) {
        const response = await (options.fetch ?? fetch)(answer.result_url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
        if (response.ok) return response.text();
        await clock.sleep(300, options.signal);
      }
      return "";
    },
  };
}

/** Whether the market is on this computer: no documented pace, short waits. */
export function isLoopback(url: string): boolean {
  return URL.canParse(url) && ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
}

type Call = <T>(request: Request_, answer: z.ZodType<T>) => Promise<T>;

async function listAll(call: Call): Promise<wire.Contract[]> {
  const act = "listing contracts";
  const rows = new Map<number, wire.Contract>();
  let token: string | null | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const query = new URLSearchParams({ limit: String(PAGE), order_by: '[{"col":"id","dir":"asc"}]' });
    if (token) query.set("after_token", token);
    const answer = await call(
      { act, method: "GET", path: `/api/v1/instances/?${query}`, endpoint: "list" },
      wire.contractsAnswer,
    );
    for (const row of answer.instances) {
      const contract = checked(act, () => wire.toContract(row));
      rows.set(contract.id, contract);
    }
    token = answer.next_token;
    if (token) continue;
    // Fewer rows than the market counts: a page was cut. Taking the rest for all would hide machines that bill.
    if (answer.total_instances != null && rows.size < answer.total_instances) {
      throw new MarketError("unreadable", {
        act,
        detail: `the market counts ${answer.total_instances} contracts but sent ${rows.size}`,
      });
    }
    return [...rows.values()];
  }
  throw new MarketError("unreadable", { act, detail: `more than ${MAX_PAGES} pages` });
}

interface Request_ {
  act: string;
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  endpoint: string;
  body?: unknown;
  retried?: ReadonlySet<MarketErrorKind>;
  /** Overrides the client's patience for calls that must get through. */
  patienceMs?: number;
  /** The answer has `success`, and false means no, whatever the status. */
  expectSuccess?: boolean;
  beforeSend?: () => Promise<void>;
}

interface Context {
  options: ApiOptions;
  clock: Clock;
  random: () => number;
  pace: Pace;
  policy: RetryPolicy;
  /** Seconds by which the market's clock is ahead of ours. */
  aheadS: number;
}

function callMarket<T>(context: Context, request: Request_, answer: z.ZodType<T>): Promise<T> {
  const retried = request.retried ?? RETRIED;
  const waitFor = (error: unknown, planned: number): number | undefined => {
    if (!(error instanceof MarketError) || !retried.has(error.kind)) return undefined;
    if (error.kind !== "rate") return planned;
    if (error.retryAfterS === undefined) return planned;
    context.pace.learn(request.endpoint, error.retryAfterS);
    return 0; // the pace makes the next try wait
  };
  return retry(
    () => once(context, request, answer),
    waitFor,
    { ...context.policy, totalMs: request.patienceMs ?? context.policy.totalMs },
    {
      ...context,
      signal: context.options.signal,
    },
  );
}

async function once<T>(context: Context, request: Request_, answer: z.ZodType<T>): Promise<T> {
  const { options, pace, clock } = context;
  await pace.take(request.endpoint, options.signal);
  await request.beforeSend?.();
  let response: Response;
  let text: string;
  try {
    response = await (options.fetch ?? fetch)(options.url + request.path, {
      method: request.method,
      headers: {
        authorization: `Bearer ${options.key.reveal()}`,
        accept: "application/json",
        ...(request.body !== undefined && { "content-type": "application/json" }),
      },
      // A redirect would carry the key to another host.
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
    });
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) context.aheadS = (date - clock.now()) / 1000;
    text = await response.text();
  } catch (cause) {
    // Without the cause: a key that is no valid header value stands in its message.
    throw new MarketError("network", { act: request.act, detail: networkDetail(cause, options.key) });
  }
  const refusal = () =>
    marketErrorFrom(request.act, response.status, masked(text, options.key), response.headers.get("retry-after"));
  if (!response.ok) throw refusal();
  const json = checked(request.act, () => JSON.parse(text) as unknown, text);
  const value = checked(request.act, () => answer.parse(json), text);
  if (request.expectSuccess && (value as { success?: boolean | null }).success === false) {
    throw refusal();
  }
  return value;
}

function checked<T>(act: string, read: () => T, body?: string): T {
  try {
    return read();
  } catch (cause) {
    // Without the cause, as JSON.parse quotes the text that it could not read.
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : body?.trim() ? "not JSON" : "an empty answer";
    throw new MarketError("unreadable", { act, detail: reason.replace(/\s+/g, " ").slice(0, 300) });
  }
}

function networkDetail(cause: unknown, key: Secret): string {
  const error = cause as { message?: string; cause?: { code?: string; message?: string } };
  const detail = error.cause?.code || error.cause?.message || error.message || "no answer";
  return masked(detail, key);
}

/** An error page may repeat what it was sent. */
function masked(text: string, key: Secret): string {
  return text.replaceAll(key.reveal(), String(key));
}
