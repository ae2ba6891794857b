/** What the provider's handlers share: where they run, for whom, and how they reach the market. */
import { join } from "node:path";
import { fileLog } from "../../common/log.ts";
import { createDeps } from "./context.ts";
import type { Deps } from "./lifecycle.ts";
import {
  type AccountIdentity,
  assertSameAccount,
  type Market,
  type MarketName,
  readAccount,
  resolveMarket,
} from "./market.ts";

export interface HandlerContext {
  root: string;
  stateDir: string;
  signal: AbortSignal;
  isOrphaned(): Promise<boolean>;
}

export interface Session {
  market: Market;
  account: AccountIdentity;
  deps: Deps;
}

/** The log of a stack's operations; the CLI shows its lines while they run. */
export function operationLog(stateDir: string, stack: string): string {
  return join(stateDir, "log", `${stack}.log`);
}

/**
 * A session with the market that a resource lives on.
 * @throws UserError VL_WRONG_ACCOUNT when `recorded` names another account than the key's.
 */
export async function openSession(
  context: HandlerContext,
  of: { market: MarketName; stack: string; name: string; identityFile?: string | null },
  recorded?: AccountIdentity,
): Promise<Session> {
  const market = resolveMarket(of.market, context.root);
  const deps = createDeps({
    market,
    stateDir: context.stateDir,
    log: fileLog(operationLog(context.stateDir, of.stack), of.name),
    signal: context.signal,
    isOrphaned: context.isOrphaned,
    identityFile: of.identityFile ?? null,
  });
  const account = await readAccount(market, deps.api);
  if (recorded) assertSameAccount(recorded, market, account);
  return { market, account: { marketUrl: market.url, accountId: account.id }, deps };
}
