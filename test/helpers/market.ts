/**
 * An emulated market in the test's own process: clock in the test's hand, machines that are none, state in memory or
 * in a folder. HTTP only when asked for.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../common/clock.ts";
import { type Emulation, openEmulation } from "../../emulator/emulation.ts";
import { type Listing, listingsFor } from "../../emulator/market/listing.ts";
import { rent } from "../../emulator/market/rent.ts";
import { parseRentRequest } from "../../emulator/market/rent-request.ts";
import { settle } from "../../emulator/market/settle.ts";
import type { World } from "../../emulator/market/world.ts";
import { createNoMachines, type NoMachines } from "../../emulator/no-machines.ts";
import type { JournalEntry, JournalLine } from "../../emulator/state/journal.ts";
import type { AccountRecord, ContractRecord } from "../../emulator/state/records.ts";
import type { Store, Table } from "../../emulator/state/store.ts";

/** A clock that stands still until it is moved. */
export interface HandClock extends Clock {
  /** Seconds. */
  move(seconds: number): void;
}

export function handClock(startMs = Date.UTC(2026, 0, 1)): HandClock {
  let now = startMs;
  return {
    now: () => now,
    move: (seconds) => {
      now += seconds * 1000;
    },
    sleep: async (ms) => {
      now += ms;
    },
  };
}

/** A store without files; what was not committed is there as well, as nothing can be killed. */
export function memoryStore(): Store {
  const tables = new Map<string, Map<string, unknown>>();
  const lines: JournalLine[] = [];
  return {
    table<T>(name: string): Table<T> {
      const map = (tables.get(name) ?? new Map()) as Map<string, T>;
      tables.set(name, map);
      return {
        get: (id) => map.get(String(id)),
        values: () => [...map.values()],
        save: (id, record) => void map.set(String(id), record),
        remove: (id) => void map.delete(String(id)),
      };
    },
    commit: (entries: JournalEntry[]) => {
      for (const entry of entries) lines.push({ seq: lines.length + 1, ...entry });
    },
    journal: (since) => lines.slice(since),
    close: () => {},
  };
}

export interface TestMarket {
  world: World;
  emulation: Emulation;
  machines: NoMachines;
  clock: HandClock;
  account: AccountRecord;
  /** Moves time, settles, and lets the machines follow. */
  pass(seconds: number): Promise<void>;
  /** Lets the machines follow what has changed. */
  follow(): Promise<void>;
  journal(...kinds: string[]): JournalLine[];
}

export interface TestMarketOptions {
  seed?: number;
  /** Absent: 1. Undefined: as the market was. */
  speed?: number | undefined;
  loadingSeconds?: number;
  calm?: boolean;
  rateLimits?: boolean;
  store?: Store;
  clock?: HandClock;
}

export async function openTestMarket(options: TestMarketOptions = {}): Promise<TestMarket> {
  const clock = options.clock ?? handClock();
  const machines = createNoMachines(0);
  const emulation = openEmulation({
    options: {
      seed: options.seed ?? 1,
      speed: "speed" in options ? options.speed : 1,
      loadingSeconds: options.loadingSeconds ?? 0,
      calm: options.calm ?? true,
    },
    hasRateLimits: options.rateLimits ?? false,
    store: options.store ?? memoryStore(),
    clock,
    machines,
    log: () => {},
    onFatal: (error) => {
      throw error;
    },
    onStop: () => {},
  });
  await emulation.useMachines(machines);
  const { world } = emulation;
  const [account] = world.accounts.values();
  if (!account) throw new Error("a market without an account");
  const follow = async () => {
    for (let i = 0; i < 2; i += 1) {
      settle(world);
      world.commit();
      await emulation.powering.idle();
    }
  };
  return {
    world,
    emulation,
    machines,
    clock,
    account,
    follow,
    async pass(seconds) {
      clock.move(seconds);
      await follow();
    },
    journal: (...kinds) => world.store.journal(0).filter((line) => kinds.length === 0 || kinds.includes(line.kind)),
  };
}

/** The cheapest listing of a market that suits. */
export function cheapest(market: TestMarket, suits: (listing: Listing) => boolean = () => true): Listing {
  const all = listingsFor(market.world, market.account.id, settle(market.world)).filter(suits);
  const [first] = all.sort((a, b) => a.price - b.price);
  if (!first) throw new Error("no listing suits");
  return first;
}

/** Rents and lets the machine come up. */
export async function rentContract(
  market: TestMarket,
  listing: Listing,
  body: Record<string, unknown> = {},
): Promise<ContractRecord> {
  const request = parseRentRequest({ image: "ubuntu:22.04", disk: 10, ...body });
  const result = rent(market.world, market.account, listing.offerId, request, settle(market.world));
  if (!("contract" in result)) throw new Error(result.refusal.msg);
  market.world.commit();
  await market.follow();
  return result.contract;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers as they please
  json: any;
}

export interface ServedMarket extends TestMarket {
  url: string;
  key: string;
  /** One request with the account's key, or with `key` (null: none). */
  call(method: string, path: string, body?: unknown, key?: string | null): Promise<Answer>;
  close(): Promise<void>;
}

/** The same market behind HTTP on a port of its own. */
export async function serveTestMarket(options: TestMarketOptions = {}): Promise<ServedMarket> {
  const market = await openTestMarket(options);
  const server: Server = createServer(market.emulation.listener({ isAdmin: true }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const key = market.emulation.adminKey;
  return {
    ...market,
    url,
    key,
    async call(method, path, body, as = key) {
      const response = await fetch(url + path, {
        method,
        headers: {
          ...(as === null ? {} : { authorization: `Bearer ${as}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        redirect: "manual",
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: parse(text) };
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
