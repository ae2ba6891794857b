/** Which market and which key: from what the environment and the emulator's home say. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  assertSameAccount,
  emulatorHome,
  type Market,
  readAccount,
  resolveMarket,
  VAST_URL,
} from "../../../../infra/vast/market.ts";
import { MarketError, type MarketErrorKind } from "../../../../infra/vast/market-error.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-market-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const resolve = (name: "vast" | "emulator", env: Record<string, string> = {}) => {
  const market = resolveMarket(name, root, env);
  return { name: market.name, url: market.url, key: market.key.reveal() };
};

describe("the real market", () => {
  test.each<[string, Record<string, string>, string, string]>([
    ["VASTAI_API_KEY", { VASTAI_API_KEY: "k1" }, VAST_URL, "k1"],
    ["VAST_API_KEY", { VAST_API_KEY: "k2" }, VAST_URL, "k2"],
    ["the first of both", { VASTAI_API_KEY: "k1", VAST_API_KEY: "k2" }, VAST_URL, "k1"],
    ["one that is empty", { VASTAI_API_KEY: "", VAST_API_KEY: "k2" }, VAST_URL, "k2"],
    ["a key with a line end, as from a file", { VASTAI_API_KEY: "k1\r\n" }, VAST_URL, "k1"],
    ["another address", { VAST_API_KEY: "k", VAST_URL: "https://proxy.test/" }, "https://proxy.test", "k"],
    [
      "an address on this computer",
      { VAST_API_KEY: "k", VAST_URL: "http://127.0.0.1:8080" },
      "http://127.0.0.1:8080",
      "k",
    ],
    ["an empty address", { VAST_API_KEY: "k", VAST_URL: "" }, VAST_URL, "k"],
  ])("%s", (_what, env, url, key) => {
    expect(resolve("vast", env)).toEqual({ name: "vast", url, key });
  });

  test.each([{}, { VASTAI_API_KEY: "", VAST_API_KEY: "" }])("no key: says where to get one", (env) => {
    expect(() => resolve("vast", env as Record<string, string>)).toThrow(`VL_NO_KEY: no account key for Vast.ai
  why: neither VASTAI_API_KEY nor VAST_API_KEY is set, in the environment or in .env
  do:  copy the key from https://cloud.vast.ai/manage-keys/ into .env as VASTAI_API_KEY=..., or try without an account: npm run demo`);
  });

  test.each(["two words", "line\nbreak", "schlüssel"])("%j is no key, and is not repeated", (key) => {
    expect(() => resolve("vast", { VASTAI_API_KEY: key })).toThrow(
      `VL_NO_KEY: the account key for Vast.ai is not a key
  why: it holds blanks, line breaks or characters outside ASCII
  do:  copy it again from https://cloud.vast.ai/manage-keys/ into .env as VASTAI_API_KEY=...`,
    );
  });

  test.each(["http://console.vast.ai", "http://127.0.0.1.example.com", "console.vast.ai", "ftp://x"])(
    "the key is not sent to %s",
    (url) => {
      expect(() => resolve("vast", { VASTAI_API_KEY: "k", VAST_URL: url })).toThrow(
        `VL_USAGE: VAST_URL is ${url}, which is neither an https address nor on this computer
  why: the account key would travel in the clear, or to nowhere
  do:  unset VAST_URL for the real market (https://console.vast.ai)`,
      );
    },
  );

  test("what is in .env counts, and the shell's environment before it", () => {
    writeFileSync(join(root, ".env"), "VASTAI_API_KEY=from-file\n");
    const { VASTAI_API_KEY: before } = process.env;
    try {
      delete process.env.VASTAI_API_KEY;
      expect(resolveMarket("vast", root).key.reveal()).toBe("from-file");
      process.env.VASTAI_API_KEY = "from-shell";
      expect(resolveMarket("vast", root).key.reveal()).toBe("from-shell");
    } finally {
      if (before === undefined) delete process.env.VASTAI_API_KEY;
      else process.env.VASTAI_API_KEY = before;
    }
  });
});

describe("the emulated market", () => {
  const home = () => join(root, "home");
  const write = (text: string) => {
    mkdirSync(home(), { recursive: true });
    writeFileSync(join(home(), "emulator.json"), text);
  };
  const emulator = (env: Record<string, string> = {}) =>
    resolve("emulator", { VASTLANE_EMULATOR_HOME: home(), ...env });
  const file = JSON.stringify({ url: "http://127.0.0.1:7000", apiKey: "ek" });

  test("is the one in the project's home", () => {
    write(file);
    expect(emulator()).toEqual({ name: "emulator", url: "http://127.0.0.1:7000", key: "ek" });
  });

  test("is another one on this computer where the environment says so", () => {
    write(file);
    const env = { VAST_URL: "http://127.0.0.1:9000/", VAST_API_KEY: "other" };
    expect(emulator(env)).toEqual({ name: "emulator", url: "http://127.0.0.1:9000", key: "other" });
  });

  test.each<[string, Record<string, string>]>([
    ["the real market's address", { VAST_URL: "https://console.vast.ai", VAST_API_KEY: "real" }],
    ["the real market's key", { VASTAI_API_KEY: "real" }],
    ["a key without an address", { VAST_API_KEY: "real" }],
    ["an address without a key", { VAST_URL: "http://127.0.0.1:9000" }],
  ])("is not reached over by %s", (_what, env) => {
    write(file);
    expect(emulator(env)).toEqual({ name: "emulator", url: "http://127.0.0.1:7000", key: "ek" });
  });

  test.each([undefined, "", "{", '{"url":"http://127.0.0.1:7000"}'])("%j in its file: there is none", (text) => {
    if (text !== undefined) write(text);
    expect(() => emulator()).toThrow(`VL_EMULATOR_DOWN: this stack uses the emulated market, and no emulator is running
  why: there is no emulator in ${home()}
  do:  start it with \`npx vastlane emulator start\`, then run the command again`);
  });

  test.each(["https://console.vast.ai", "nonsense"])("a file that names %s sends no key there", (url) => {
    write(JSON.stringify({ url, apiKey: "ek" }));
    expect(() => emulator()).toThrow(`VL_WRONG_ACCOUNT: the emulator's file names ${url}, which is not on this computer
  do:  remove ${join(home(), "emulator.json")} and run \`npx vastlane emulator start\``);
  });

  test("its home is in the project unless the environment says otherwise", () => {
    expect(emulatorHome("/p", {})).toMatch(/emulator$/);
    expect(emulatorHome("/p", { VASTLANE_EMULATOR_HOME: "/e" })).toBe("/e");
  });
});

test("the key is a secret that nothing prints", () => {
  const market = resolveMarket("vast", root, { VASTAI_API_KEY: "k1" });
  expect(`${market.key} ${JSON.stringify(market)}`).not.toContain("k1");
});

describe("readAccount", () => {
  const failing = (kind: MarketErrorKind) => ({
    account: () => Promise.reject(new MarketError(kind, { act: "reading the account" })),
  });
  const on = (name: "vast" | "emulator") => ({ name }) as Market;

  test.each<["vast" | "emulator", MarketErrorKind, string]>([
    ["vast", "auth", "VL_ACCOUNT_REFUSED"],
    ["vast", "network", "VL_MARKET_DOWN"],
    ["emulator", "network", "VL_EMULATOR_DOWN"],
    ["emulator", "auth", "VL_ACCOUNT_REFUSED"],
    ["emulator", "unreadable", "VL_MARKET_UNREADABLE"],
  ])("%s, %s: %s", async (name, kind, code) => {
    await expect(readAccount(on(name), failing(kind))).rejects.toMatchObject({ code });
  });

  test("gives the account", async () => {
    const account = { id: 42, creditUsd: 5 };
    expect(await readAccount(on("vast"), { account: async () => account })).toBe(account);
  });
});

describe("assertSameAccount", () => {
  const check = (marketUrl: string, accountId: number, url: string, id: number) =>
    assertSameAccount({ marketUrl, accountId }, { url } as Market, { id, creditUsd: 0 });

  test("the same account on the same market, or on an emulator that came back on another port", () => {
    check(VAST_URL, 42, VAST_URL, 42);
    check("http://127.0.0.1:7000", 42, "http://127.0.0.1:9000", 42);
  });

  test.each([
    [VAST_URL, 42, VAST_URL, 43],
    [VAST_URL, 42, "http://127.0.0.1:7000", 42],
    ["http://127.0.0.1:7000", 42, VAST_URL, 42],
    [VAST_URL, 42, "https://other.test", 42],
    ["http://127.0.0.1:7000", 1, "http://127.0.0.1:7000", 2],
  ])("account %s/%i is another one than %s/%i", (marketUrl, accountId, url, id) => {
    expect(() => check(marketUrl, accountId, url, id)).toThrow(
      `VL_WRONG_ACCOUNT: the account key belongs to another account than the one that rented this stack's machines
  why: the state says account ${accountId} on ${marketUrl}, the key is of account ${id} on ${url}
  do:  set VASTAI_API_KEY to the key of the first account; nothing was changed`,
    );
  });
});
