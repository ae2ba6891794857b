/** A first look at an account with a short patience, for a check that a person waits for. */
import type { Clock } from "../../common/clock.ts";
import { type Account, createApi } from "./api.ts";
import { type Market, readAccount } from "./market.ts";

/**
 * The account behind the key of `market`.
 * @throws UserError VL_ACCOUNT_REFUSED, VL_MARKET_DOWN, VL_MARKET_UNREADABLE; whatever comes when `signal` ends it.
 */
export function tryKey(market: Market, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<Account> {
  const api = createApi({
    url: market.url,
    key: market.key,
    clock,
    signal,
    // The API's own time limit is one for work in the background.
    fetch: (url, request) => fetch(url, { ...request, signal }),
  });
  return readAccount(market, api);
}
