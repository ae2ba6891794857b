/**
 * Which market a stack rents on, and with which key. The emulated market never sees the real account's key, and a
 * stack of the emulated market never reaches the real one, whatever the environment says.
 */
import { join } from "node:path";
import { z } from "zod";
import { hasCode, UserError } from "../../common/errors.ts";
import { readJsonIfThere } from "../../common/files.ts";
import { Secret } from "../../common/secret.ts";
import { environmentOf, stateFolder } from "../project.ts";
import { type Account, isLoopback, type MarketApi } from "./api.ts";
import { userErrorOf } from "./market-messages.ts";

export type MarketName = "vast" | "emulator";

export interface Market {
  name: MarketName;
  url: string;
  key: Secret;
}

export const VAST_URL = "https://console.vast.ai";

const emulatorFile = z.looseObject({ url: z.string(), apiKey: z.string(), s3: z.unknown().optional() });

/**
 * The market's address and key from the environment, `.env`, or the emulator's home. Not from Pulumi's configuration:
 * Pulumi copies that into the state of the dynamic provider, also as plain text for `--show-secrets`.
 * @throws UserError VL_NO_KEY, VL_EMULATOR_DOWN, VL_WRONG_ACCOUNT (an emulator stack pointed at a real market),
 * VL_USAGE (an address to which no key must be sent).
 */
export function resolveMarket(name: MarketName, root: string, env = environmentOf(root)): Market {
  return name === "emulator" ? emulatedMarket(root, env) : realMarket(env);
}

/** The emulator's home for a project on this computer. */
export function emulatorHome(root: string, env: NodeJS.ProcessEnv = process.env): string {
  return env.VASTLANE_EMULATOR_HOME ?? join(stateFolder(root), "emulator");
}

function realMarket(env: NodeJS.ProcessEnv): Market {
  const key = (env.VASTAI_API_KEY || env.VAST_API_KEY)?.trim();
  if (!key) {
    throw new UserError("VL_NO_KEY", {
      what: "no account key for Vast.ai",
      why: "neither VASTAI_API_KEY nor VAST_API_KEY is set, in the environment or in .env",
      hint: "copy the key from https://cloud.vast.ai/manage-keys/ into .env as VASTAI_API_KEY=..., or try without an account: npm run demo",
    });
  }
  if (!/^[!-~]+$/.test(key)) {
    throw new UserError("VL_NO_KEY", {
      what: "the account key for Vast.ai is not a key",
      why: "it holds blanks, line breaks or characters outside ASCII",
      hint: "copy it again from https://cloud.vast.ai/manage-keys/ into .env as VASTAI_API_KEY=...",
    });
  }
  const url = (env.VAST_URL || VAST_URL).replace(/\/+$/, "");
  if (!isSafeForKeys(url)) {
    throw new UserError("VL_USAGE", {
      what: `VAST_URL is ${url}, which is neither an https address nor on this computer`,
      why: "the account key would travel in the clear, or to nowhere",
      hint: `unset VAST_URL for the real market (${VAST_URL})`,
    });
  }
  return { name: "vast", url, key: new Secret(key) };
}

function isSafeForKeys(url: string): boolean {
  return URL.canParse(url) && (new URL(url).protocol === "https:" || isLoopback(url));
}

function emulatedMarket(root: string, env: NodeJS.ProcessEnv): Market {
  if (env.VAST_URL && env.VAST_API_KEY && isLoopback(env.VAST_URL)) {
    return { name: "emulator", url: env.VAST_URL.replace(/\/+$/, ""), key: new Secret(env.VAST_API_KEY) };
  }
  const home = emulatorHome(root, env);
  const found = readEmulatorFile(home);
  if (!found) throw emulatorDown(`there is no emulator in ${home}`);
  if (!isLoopback(found.url)) {
    throw new UserError("VL_WRONG_ACCOUNT", {
      what: `the emulator's file names ${found.url}, which is not on this computer`,
      hint: `remove ${join(home, "emulator.json")} and run \`npx vastlane emulator start\``,
    });
  }
  return { name: "emulator", url: found.url, key: new Secret(found.apiKey) };
}

/** How to reach the emulator of a home, as it wrote it there; undefined when there is none, or half a file. */
export function readEmulatorFile(home: string): z.infer<typeof emulatorFile> | undefined {
  return emulatorFile.safeParse(readIfWhole(join(home, "emulator.json"))).data;
}

function readIfWhole(file: string): unknown {
  try {
    return readJsonIfThere(file);
  } catch {
    return undefined; // a broken file names no emulator
  }
}

export function emulatorDown(why: string): UserError {
  return new UserError("VL_EMULATOR_DOWN", {
    what: "this stack uses the emulated market, and no emulator is running",
    why,
    hint: "start it with `npx vastlane emulator start`, then run the command again",
  });
}

/** Whose account this is: kept in the state, so that another key can never make a machine look gone. */
export interface AccountIdentity {
  marketUrl: string;
  accountId: number;
}

/** The account behind the key. @throws UserError VL_ACCOUNT_REFUSED, VL_EMULATOR_DOWN, VL_MARKET_DOWN */
export async function readAccount(market: Market, api: Pick<MarketApi, "account">): Promise<Account> {
  try {
    return await api.account();
  } catch (error) {
    const readable = userErrorOf(error);
    if (market.name === "emulator" && hasCode(readable, "VL_MARKET_DOWN")) {
      throw emulatorDown(readable.why ?? "it does not answer");
    }
    throw readable;
  }
}

/**
 * @throws UserError VL_WRONG_ACCOUNT when the key is not the one that rented. An emulator may come back on another
 * port; the real market's address is part of the identity.
 */
export function assertSameAccount(recorded: AccountIdentity, market: Market, account: Account): void {
  const isSameMarket = recorded.marketUrl === market.url || (isLoopback(recorded.marketUrl) && isLoopback(market.url));
  if (isSameMarket && recorded.accountId === account.id) return;
  throw new UserError("VL_WRONG_ACCOUNT", {
    what: "the account key belongs to another account than the one that rented this stack's machines",
    why: `the state says account ${recorded.accountId} on ${recorded.marketUrl}, the key is of account ${account.id} on ${market.url}`,
    hint: "set VASTAI_API_KEY to the key of the first account; nothing was changed",
  });
}
