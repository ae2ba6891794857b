/**
 * The one object that the parts of the emulator share: records, clock, nature, machines.
 * It has no rules of its own. Changes are made to records in memory, noted for the journal, and become
 * lasting with `commit`, which every request makes before its answer goes out.
 */
import { randomBytes, randomInt } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { createFaults, type Faults } from "../faults/faults.ts";
import type { MachineHost } from "../machine/types.ts";
import type { EmulatedS3 } from "../s3/index.ts";
import type { JournalEntry, JournalKind } from "../state/journal.ts";
import type {
  AccountRecord,
  ChargeRecord,
  ContractRecord,
  FaultRecord,
  HostRecord,
  KeyRecord,
  MarketRecord,
  SlotRecord,
  SshKeyRecord,
} from "../state/records.ts";
import type { Store, Table } from "../state/store.ts";
import { type Catalogue, generateCatalogue, type Slot } from "./catalogue.ts";
import { createMarketClock, type MarketClock } from "./clock.ts";
import { createCalmNature, createNature, type Nature } from "./nature.ts";
import { round } from "./random.ts";

export interface WorldOptions {
  /** Undefined: the market's own, or 1 for a new market. */
  seed: number | undefined;
  /** Undefined: as fast as before, or 1 for a new market. */
  speed: number | undefined;
  /** Market seconds from a rent to a started container; half of it for a start with the disk kept. */
  loadingSeconds: number;
  /** Nothing happens by itself: no price moves, no stranger rents, no host fails. */
  calm: boolean;
}

export interface World {
  readonly options: WorldOptions & { seed: number };
  readonly store: Store;
  readonly clock: MarketClock;
  readonly catalogue: Catalogue;
  readonly nature: Nature;
  readonly faults: Faults;
  readonly log: Log;
  readonly market: MarketRecord;
  readonly accounts: Table<AccountRecord>;
  readonly keys: Table<KeyRecord>;
  readonly sshKeys: Table<SshKeyRecord>;
  readonly contracts: Table<ContractRecord>;
  readonly slots: Table<SlotRecord>;
  readonly hosts: Table<HostRecord>;
  readonly charges: Table<ChargeRecord>;
  machines: MachineHost;
  /** Null where there is no store. */
  s3: Pick<EmulatedS3, "usage" | "keyFor"> | null;
  /** Says that a contract's machine may have to change; it does after the next commit, never before it is on disk. */
  poke(contractId: number): void;
  /** Does what `poke` announced. */
  follow: (contractId: number) => void;
  nextId(): number;
  note(kind: JournalKind, detail: Omit<JournalEntry, "t" | "kind">): void;
  /** Makes all changes since the last commit lasting; with the disk's word for it when a contract came or went. */
  commit(): void;
}

export interface WorldSetup {
  options: WorldOptions;
  store: Store;
  clock: Clock;
  machines: MachineHost;
  log: Log;
  /** Called when the disk refuses a commit: memory is ahead of the disk, and only a restart makes them agree. */
  onFatal(error: unknown): never;
}

const DEFAULT_SEED = 1;
const START_CREDIT_USD = 25;
/** A daemon that was away for longer did not just crash: its computer was off, and no machine ran. */
const LONGEST_OUTAGE_SECONDS = 600;

/** Opens the market of a store, or begins a new one in an empty store. */
export function openWorld(setup: WorldSetup): World {
  const { store, options, log } = setup;
  const tables = {
    markets: store.table<MarketRecord>("market"),
    accounts: store.table<AccountRecord>("account"),
    keys: store.table<KeyRecord>("key"),
    sshKeys: store.table<SshKeyRecord>("ssh-key"),
    contracts: store.table<ContractRecord>("contract"),
    slots: store.table<SlotRecord>("slot"),
    hosts: store.table<HostRecord>("host"),
    charges: store.table<ChargeRecord>("charge"),
  };
  const realSeconds = setup.clock.now() / 1000;
  const known = tables.markets.get("main");
  const market: MarketRecord = known ?? {
    seed: options.seed ?? DEFAULT_SEED,
    birth: realSeconds,
    settledAt: realSeconds,
    writtenAtMs: setup.clock.now(),
    speed: options.speed ?? 1,
    // Not from 1 up: the official CLI and SSH's known hosts remember addresses by contract id for ever.
    nextContractId: randomInt(10_000_000, 90_000_000),
    nextId: 1,
    stopped: false,
  };
  if (options.seed !== undefined && options.seed !== market.seed) throw otherSeed(market.seed, options.seed);
  market.speed = options.speed ?? market.speed;
  // Time went on while no daemon ran, at the speed of real time.
  const gapSeconds = known ? Math.max(0, setup.clock.now() - market.writtenAtMs) / 1000 : 0;
  const clock = createMarketClock(setup.clock, { time: market.settledAt + gapSeconds, speed: market.speed });
  if (market.stopped || gapSeconds > LONGEST_OUTAGE_SECONDS) {
    skipBilling(tables.contracts, clock.now());
    market.settledAt = clock.now();
  }
  market.stopped = false;

  let pending: JournalEntry[] = [];
  const poked = new Set<number>();
  const catalogue = generateCatalogue(market.seed);
  const nextId = () => market.nextId++;
  const world: World = {
    options: { ...options, seed: market.seed },
    store,
    clock,
    catalogue,
    nature: options.calm ? createCalmNature(market.seed) : createNature(market.seed),
    faults: createFaults(store.table<FaultRecord>("fault"), clock.now, nextId),
    log,
    market,
    ...tables,
    machines: setup.machines,
    s3: null,
    poke: (contractId) => void poked.add(contractId),
    follow: () => {},
    nextId,
    note: (kind, detail) => {
      pending.push({ t: round(market.settledAt, 3), kind, ...detail } as JournalEntry);
    },
    commit() {
      const entries = pending;
      pending = [];
      market.writtenAtMs = setup.clock.now();
      tables.markets.save("main", market);
      try {
        store.commit(entries, { durable: entries.some(({ kind }) => kind === "rent" || kind === "destroy") });
      } catch (error) {
        setup.onFatal(error);
      }
      const ids = [...poked];
      poked.clear();
      for (const id of ids) world.follow(id);
    },
  };
  if (!known) createAccount(world, "dev");
  world.commit();
  return world;
}

/** A new account with some credit and one key that may do everything. */
export function createAccount(world: World, name: string): { account: AccountRecord; key: KeyRecord } {
  // 48 random bits, so that two markets never have the same account by chance.
  const account: AccountRecord = {
    id: randomInt(2 ** 40, 2 ** 48 - 1),
    name,
    deposited: START_CREDIT_USD,
    secrets: {},
  };
  world.accounts.save(account.id, account);
  return { account, key: createKey(world, account.id, name, null, null) };
}

export function createKey(
  world: World,
  accountId: number,
  name: string,
  rights: KeyRecord["rights"],
  contractId: number | null,
): KeyRecord {
  const key: KeyRecord = {
    id: world.nextId(),
    accountId,
    name,
    key: randomBytes(32).toString("hex"),
    rights,
    contractId,
    createdAt: world.clock.now(),
  };
  world.keys.save(key.id, key);
  return key;
}

/** Seconds since the market began: the time that nature knows. */
export function sinceBirth(world: World, t: number): number {
  return t - world.market.birth;
}

export function slotOf(world: World, index: number): Slot {
  return world.catalogue.slots[index] as Slot;
}

export function slotRecord(world: World, index: number): SlotRecord {
  return world.slots.get(index) ?? { slot: index, relists: 0, rival: null, renter: null };
}

function otherSeed(known: number, wanted: number): UserError {
  return new UserError("VL_USAGE", {
    what: `This emulator's market has the seed ${known}, not ${wanted}.`,
    why: "A market keeps its seed: its offers and contracts come from it.",
    hint: "Leave --seed out, or give another folder with --home.",
  });
}

/** When nothing ran, the time since then costs nothing. */
function skipBilling(contracts: Table<ContractRecord>, now: number): void {
  for (const contract of contracts.values()) {
    if (contract.destroyedAt !== null) continue;
    contract.billedAt = now;
    contract.openSince = now;
    contracts.save(contract.id, contract);
  }
}
