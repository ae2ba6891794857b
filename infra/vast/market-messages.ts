/** The market's refusals in words that a person can act on. */
import { type ErrorCode, type ErrorText, UserError } from "../../common/errors.ts";
import { MarketError, type MarketErrorKind } from "./market-error.ts";

const TEXTS: Record<MarketErrorKind, { code: ErrorCode; text: Pick<ErrorText, "what" | "hint"> }> = {
  auth: {
    code: "VL_ACCOUNT_REFUSED",
    text: {
      what: "the market does not accept the account key",
      hint: "check VASTAI_API_KEY (or VAST_API_KEY, or .env); a restricted key needs instance_read, instance_write, user_read and misc",
    },
  },
  "no-credit": {
    code: "VL_NO_CREDIT",
    text: {
      what: "the account has no credit left",
      hint: "add credit on the market's billing page, then run the command again",
    },
  },
  "spend-limit": {
    code: "VL_NO_CREDIT",
    text: {
      what: "the account's spending rate is capped by the market",
      hint: "lower vastlane:rental.maxPricePerHour, or wait until the cap of a new account is lifted",
    },
  },
  "offer-gone": { code: "VL_NO_OFFER", text: { what: "the offer is gone", hint: "run the command again" } },
  "bid-too-low": {
    code: "VL_BID_TOO_LOW",
    text: {
      what: "the bid is below the lowest winning bid",
      hint: "raise vastlane:rental.bid or maxPricePerHour, or use bid: auto",
    },
  },
  busy: {
    code: "VL_NO_OFFER",
    text: {
      what: "the machine's GPUs are rented by somebody else now",
      hint: "wait, or run `vastlane up` to rent elsewhere",
    },
  },
  gone: {
    code: "VL_NOT_FOUND",
    text: { what: "the market has no such contract", hint: "run `pulumi refresh`, then the command again" },
  },
  rate: {
    code: "VL_MARKET_DOWN",
    text: {
      what: "the market keeps answering that requests are too frequent",
      hint: "wait a minute, then run the command again",
    },
  },
  server: {
    code: "VL_MARKET_DOWN",
    text: {
      what: "the market answers with server errors",
      hint: "wait a minute, then run the command again; nothing was concluded from it",
    },
  },
  network: {
    code: "VL_MARKET_DOWN",
    text: {
      what: "the market cannot be reached",
      hint: "check the network (or the emulator: `vastlane emulator status`), then run the command again",
    },
  },
  unreadable: {
    code: "VL_MARKET_UNREADABLE",
    text: {
      what: "the market's answer cannot be understood",
      hint: "run the command again; nothing was concluded from it",
    },
  },
  refused: {
    code: "VL_MARKET_DOWN",
    text: { what: "the market refused the request", hint: "see its own words above" },
  },
};

/** A `MarketError` as a `UserError`; anything else unchanged. */
export function userErrorOf(error: unknown): unknown {
  if (!(error instanceof MarketError)) return error;
  const { code, text } = TEXTS[error.kind];
  return new UserError(code, { ...text, why: error.message, cause: error });
}
