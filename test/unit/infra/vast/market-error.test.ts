import { describe, expect, test } from "vitest";
import { UserError } from "../../../../common/errors.ts";
import { MarketError, type MarketErrorKind, marketErrorFrom } from "../../../../infra/vast/market-error.ts";
import { userErrorOf } from "../../../../infra/vast/market-messages.ts";

const json = (error: string, msg = "", more = {}) => JSON.stringify({ success: false, error, msg, ...more });
const kindOf = (status: number, body: string) => marketErrorFrom("act", status, body).kind;

test.each<[MarketErrorKind, number, string]>([
  ["auth", 401, json("auth_error", "Invalid user key")],
  ["auth", 403, json("auth_error", "This action requires login.")],
  ["auth", 403, json("not_authorized")],
  ["auth", 404, json("auth_error", "Invalid user key")],
  ["auth", 401, "Please log in"],
  ["gone", 404, json("no_such_instance")],
  ["gone", 200, json("no_such_instance")],
  ["gone", 404, json("not_found")],
  ["refused", 400, json("not_found")],
  ["refused", 404, "<html>Not Found</html>"],
  ["offer-gone", 404, json("invalid_args", "error 404/3603: no_such_ask Instance type by id 7 is not available.")],
  ["offer-gone", 410, json("no_such_ask", "error 410/3907: no_such_ask Instance type 7 is no longer available.")],
  ["offer-gone", 400, json("no_such_ask")],
  ["offer-gone", 400, json("invalid_args", "Instance type 7 is no longer available")],
  ["offer-gone", 200, json("no_such_ask")],
  ["no-credit", 400, json("insufficient_credit", "Your account lacks credit")],
  ["no-credit", 411, json("", "Insufficient credit")],
  ["no-credit", 400, json("invalid_args", "Your account lacks credit")],
  ["spend-limit", 403, json("invalid_args", "spend_rate_limit exceeded")],
  ["spend-limit", 400, json("spend_rate_limit")],
  ["bid-too-low", 400, json("invalid_price", "below the current minimum")],
  ["bid-too-low", 400, json("invalid_args", "Please set a bid price >= 0.001.")],
  ["busy", 200, json("resources_unavailable", "Required resources are currently unavailable, state change queued.")],
  ["rate", 429, "API requests too frequent"],
  ["rate", 429, json("rate_limit_exceeded")],
  ["refused", 429, json("search_quota_exceeded", "daily search quota")],
  ["refused", 400, json("invalid_args", "error 400/3467: Invalid args: disk")],
  ["refused", 400, ""],
  ["server", 500, ""],
  ["server", 502, "<html>Bad Gateway</html>"],
  ["server", 408, "timeout"],
])("%s: %i %s", (kind, status, body) => {
  expect(kindOf(status, body)).toBe(kind);
});

describe("an error page proves nothing, whatever stands on it", () => {
  test.each([
    ["bid and price", "<html>forbidden while updating the bid price</html>"],
    ["a taken offer", json("no_such_ask")],
    ["a login", json("auth_error")],
    ["no credit", "your account lacks credit"],
    ["nothing", ""],
  ])("5xx with %s", (_what, body) => {
    expect(kindOf(500, body)).toBe("server");
    expect(kindOf(503, body)).toBe("server");
  });

  test.each([
    ["forbidden", json("invalid_args", "forbidden: the price list")],
    ["an environment that is repeated", json("invalid_args", "bad env", { env: { BID: "1", PRICE: "2" } })],
    ["morbid", json("invalid_args", "a morbid price")],
  ])("a 400 with the letters of bid and price in %s is not about the bid", (_what, body) => {
    expect(kindOf(400, body)).toBe("refused");
  });
});

test("the refusal carries the contract that it left behind, also with a 5xx", () => {
  expect(marketErrorFrom("renting", 400, json("invalid_price", "no", { new_contract: 7 })).createdContractId).toBe(7);
  expect(marketErrorFrom("renting", 500, json("", "", { new_contract: 8 })).createdContractId).toBe(8);
  expect(marketErrorFrom("renting", 400, json("invalid_args", "no")).createdContractId).toBeUndefined();
});

test.each<[string, string, string | null, number | undefined]>([
  ["a header", "", "7", 7],
  ["the JSON's field", JSON.stringify({ retry_after: 3 }), null, 3],
  ["plain text", "API requests too frequent: endpoint threshold=4.5", null, 4.5],
  ["JSON text", JSON.stringify({ detail: "API requests too frequent endpoint threshold=4.5" }), null, 4.5],
  ["a date header, which is no number of seconds", "", "Wed, 21 Oct 2026 07:28:00 GMT", undefined],
  ["nothing", "API requests too frequent", null, undefined],
  ["zero", "", "0", undefined],
])("a 429 tells its wait by %s", (_how, body, header, seconds) => {
  expect(marketErrorFrom("listing", 429, body, header).retryAfterS).toBe(seconds);
});

describe("the message", () => {
  test("says what was tried, what kind of no came, and the market's words", () => {
    expect(marketErrorFrom("renting offer 7", 400, json("invalid_args", "disk  too\nbig")).message).toBe(
      "renting offer 7: refused (400): disk too big",
    );
  });

  test("takes the words from msg, message or detail, else the code, else a text body, shortened", () => {
    const detail = (body: string) => marketErrorFrom("a", 400, body).detail;
    expect(detail(JSON.stringify({ message: "m" }))).toBe("m");
    expect(detail(JSON.stringify({ detail: "d" }))).toBe("d");
    expect(detail(JSON.stringify({ error: "code" }))).toBe("code");
    expect(detail("plain text")).toBe("plain text");
    expect(detail("x".repeat(1000))).toHaveLength(300);
  });

  test("never shows what else is in the answer, such as the machine's key", () => {
    const body = JSON.stringify({ success: false, new_contract: 7, instance_api_key: "secret" });
    const error = marketErrorFrom("renting", 200, body);
    expect(`${error.message}${JSON.stringify(error)}`).not.toContain("secret");
  });
});

describe("in people's words", () => {
  const TEXTS: [MarketErrorKind, string][] = [
    [
      "auth",
      `VL_ACCOUNT_REFUSED: the market does not accept the account key
  why: act: auth
  do:  check VASTAI_API_KEY (or VAST_API_KEY, or .env); a restricted key needs instance_read, instance_write, user_read and misc`,
    ],
    [
      "no-credit",
      `VL_NO_CREDIT: the account has no credit left
  why: act: no-credit
  do:  add credit on the market's billing page, then run the command again`,
    ],
    [
      "spend-limit",
      `VL_NO_CREDIT: the account's spending rate is capped by the market
  why: act: spend-limit
  do:  lower vastlane:rental.maxPricePerHour, or wait until the cap of a new account is lifted`,
    ],
    [
      "offer-gone",
      `VL_NO_OFFER: the offer is gone
  why: act: offer-gone
  do:  run the command again`,
    ],
    [
      "bid-too-low",
      `VL_BID_TOO_LOW: the bid is below the lowest winning bid
  why: act: bid-too-low
  do:  raise vastlane:rental.bid or maxPricePerHour, or use bid: auto`,
    ],
    [
      "busy",
      `VL_NO_OFFER: the machine's GPUs are rented by somebody else now
  why: act: busy
  do:  wait, or run \`vastlane up\` to rent elsewhere`,
    ],
    [
      "gone",
      `VL_NOT_FOUND: the market has no such contract
  why: act: gone
  do:  run \`pulumi refresh\`, then the command again`,
    ],
    [
      "rate",
      `VL_MARKET_DOWN: the market keeps answering that requests are too frequent
  why: act: rate
  do:  wait a minute, then run the command again`,
    ],
    [
      "server",
      `VL_MARKET_DOWN: the market answers with server errors
  why: act: server
  do:  wait a minute, then run the command again; nothing was concluded from it`,
    ],
    [
      "network",
      `VL_MARKET_DOWN: the market cannot be reached
  why: act: network
  do:  check the network (or the emulator: \`vastlane emulator status\`), then run the command again`,
    ],
    [
      "unreadable",
      `VL_MARKET_UNREADABLE: the market's answer cannot be understood
  why: act: unreadable
  do:  run the command again; nothing was concluded from it`,
    ],
    [
      "refused",
      `VL_MARKET_DOWN: the market refused the request
  why: act: refused
  do:  see its own words above`,
    ],
  ];

  test.each(TEXTS)("%s", (kind, text) => {
    const error = userErrorOf(new MarketError(kind, { act: "act" }));
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toBe(text);
    expect((error as UserError).cause).toBeInstanceOf(MarketError);
  });

  test("anything else stays what it is", () => {
    const bug = new TypeError("x");
    expect(userErrorOf(bug)).toBe(bug);
  });
});
