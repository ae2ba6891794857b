/**
 * Several agents on one run in a world that hides nothing from them, and what must hold whatever happens:
 *   - each epoch is one agent's; the epochs that write latest.json and run.json never go back;
 *   - what is in the lineage was written before the fence of the next epoch: nothing of an old writer is ever loaded;
 *   - a checkpoint whose publishing was acknowledged stays in the lineage (until somebody starts anew), and a takeover
 *     goes on from nothing older than the last manifest that was acknowledged before the lease was taken;
 *   - once faults end, somebody gets the run and publishes.
 * The first violation is thrown with the seed and what led to it.
 */
import { formatCheckpointId, parseCheckpointId } from "../../common/checkpoint-id.ts";
import { UserError } from "../../common/errors.ts";
import type * as Lease from "../../runtime/lease/index.ts";
import type { Held } from "../../runtime/lease/index.ts";
import { holder } from "./lease.ts";
import { createWorld, type Process } from "./lease-world.ts";
import { seeded } from "./seeded.ts";

export interface ModelOptions {
  /** The lease that is tried: the real one, or one that was broken on purpose. */
  lease: Pick<
    typeof Lease,
    "acquireLease" | "moveHead" | "headToBuildOn" | "readLineage" | "changeRunRecord" | "manifestKey"
  >;
  /** Things that happen before the faults end. */
  events?: number;
  keepsConditions?: boolean;
  removes?: readonly string[];
  /** A store that keeps no conditions and says so. */
  isWeak?: boolean;
  /** Broken rules are counted instead of thrown, but for the last one. */
  isCounting?: boolean;
}

/** What one interleaving has seen, so that a test can tell that it was not a quiet one. */
export interface Tally {
  epochs: number;
  takeovers: number;
  published: number;
  lost: number;
  fresh: number;
  /** Manifests that an old epoch still wrote. */
  stale: number;
  /** Rules that were broken, where they are counted. */
  wrong: number;
}

export class Violation extends Error {}

/** In the model's own words: what the store has seen, in the order of its writes. */
interface History {
  /** Order in which manifests arrived. */
  manifests: Map<string, number>;
  /** Order in which the lease first had an epoch. */
  takings: Map<number, number>;
  /** Order in which the head first had an epoch. */
  fences: Map<number, number>;
  /** Order in which the head moved to a checkpoint. */
  moves: Map<string, number>;
  /** Order of the last fence that started anew. */
  freshAt: number;
  published: Set<string>;
  /** Manifests whose writer has the store's reply. */
  acknowledged: Set<string>;
  removed: Set<string>;
  begun: Map<number, string>;
  /** How much had been written when the epoch's holder began: it is from there that it goes on. */
  beginnings: Map<number, number>;
  /** Epochs whose holder was asked and said: anew. */
  freshEpochs: Set<number>;
}

const PUBLISHES_AT_MOST = 6;
/** After the faults: events within which somebody must have published. */
const PATIENCE = 1_500;

export async function runModel(
  seed: number,
  { lease, events = 260, isWeak = false, isCounting = false, keepsConditions = !isWeak, removes = [] }: ModelOptions,
): Promise<Tally> {
  const random = seeded(seed);
  const world = createWorld({ random, keepsConditions, saysConditions: !isWeak, removes });
  const tally: Tally = { epochs: 0, takeovers: 0, published: 0, lost: 0, fresh: 0, stale: 0, wrong: 0 };
  const history: History = {
    manifests: new Map(),
    takings: new Map(),
    fences: new Map(),
    moves: new Map(),
    freshAt: -1,
    published: new Set(),
    acknowledged: new Set(),
    removed: new Set(),
    begun: new Map(),
    beginnings: new Map(),
    freshEpochs: new Set(),
  };
  const agents = new Set<Process>();
  const machines = 2 + random.below(3);
  let seen = 0;
  let starts = 0;
  let highest = { head: 0, run: 0 };
  let failure: unknown;

  try {
    for (let event = 0; event < events; event += 1) {
      startMissing();
      await world.step(true);
      await look();
    }
    world.thawAll();
    const before = tally.published;
    for (let event = 0; tally.published === before; event += 1) {
      if (event > PATIENCE) throw new Violation("nobody gets the run although all faults have ended");
      startMissing();
      await world.step(false);
      await look();
    }
    return tally;
  } catch (error) {
    const told = world.trace.slice(-80).join("\n");
    throw new Violation(`seed ${seed}: ${(error as Error).message}\n${told}`, { cause: error });
  }

  function violated(what: string): void {
    if (!isCounting) throw new Violation(what);
    tally.wrong += 1;
  }

  function startMissing(): void {
    for (const agent of agents) if (!world.isAlive(agent)) agents.delete(agent);
    const isMissing = agents.size === 0 || (agents.size < machines && random.chance(0.05));
    if (!isMissing) return;
    // Sometimes the machine whose agent has died starts it again, sometimes it is a new machine.
    const names = ["A", "B", "C", "D"].filter((name) => ![...agents].some((it) => it.name.startsWith(name)));
    const name = random.chance(0.5) ? (names[0] as string) : `N${starts}`;
    starts += 1;
    const process = world.start(`${name}#${starts}`);
    agents.add(process);
    live(process, name, starts).then(
      () => world.end(process),
      (error) => {
        if (world.isAlive(process)) failure ??= error;
      },
    );
  }

  /** An agent's life: get the run, load, train and publish, give it back. */
  async function live(process: Process, machine: string, pid: number): Promise<void> {
    const { store, clock, monotonicMs } = process;
    const isFresh = random.chance(0.06);
    const held = await lease.acquireLease({
      store,
      clock,
      monotonicMs,
      runId: "model",
      holder: { ...holder(machine), pid },
      log: () => {},
      fresh: () => {
        if (isFresh) history.freshEpochs.add(lastTaken(pid));
        return isFresh;
      },
    });
    begin(process, held);
    try {
      await changeRecord(process, held);
      const [loaded] = await repeated(process, held, () => lease.readLineage(store));
      if (loaded !== undefined) checkLegit(loaded, "was loaded");
      await train(process, held, loaded);
      await held.release();
    } catch (error) {
      held.abandon();
      if (!isLost(error)) throw error;
      tally.lost += 1;
    }
  }

  /** The epoch that this process has taken last. */
  function lastTaken(pid: number): number {
    const leases = world.memory.writes
      .filter(({ key }) => key === "lease.json")
      .map(({ body }) => JSON.parse(`${body}`));
    return leases.findLast((it) => it.holder.pid === pid).epoch;
  }

  function begin(process: Process, held: Held): void {
    const other = history.begun.get(held.epoch);
    if (other !== undefined) violated(`${process.name} and ${other} both hold epoch ${held.epoch}`);
    history.begun.set(held.epoch, process.name);
    history.beginnings.set(held.epoch, world.memory.writes.length);
    tally.epochs += 1;
    if (held.epoch > 1) tally.takeovers += 1;
    if (history.freshEpochs.has(held.epoch)) tally.fresh += 1;
    if (held.parent !== null) checkLegit(held.parent, "was accepted");
  }

  async function changeRecord(process: Process, held: Held): Promise<void> {
    await repeated(process, held, () =>
      lease.changeRunRecord({ store: process.store, clock: process.clock, runId: "model" }, held, (record) => ({
        generation: (record?.generation ?? 0) + 1,
      })),
    );
  }

  async function train(process: Process, held: Held, loaded: string | undefined): Promise<void> {
    let step = loaded === undefined ? 0 : (parseCheckpointId(loaded)?.step ?? 0);
    for (let publishes = random.below(PUBLISHES_AT_MOST); publishes >= 0; publishes -= 1) {
      await process.clock.sleep(random.below(9_000));
      step += 1 + random.below(5);
      const id = formatCheckpointId({ step, epoch: held.epoch });
      if (random.chance(0.8)) await repeated(process, held, () => publish(process, held, id));
      // Or give up on a store that does not answer: the next one is published on top of what the head is then.
      else await publish(process, held, id).catch((error) => rethrowUnlessDown(error));
      if (random.chance(0.15)) await removeOldest(process, held);
    }
  }

  async function publish({ store }: Process, held: Held, id: string): Promise<void> {
    await held.assertHeld();
    const parent = (await lease.headToBuildOn(store, held)).checkpoint;
    await store.put(`checkpoints/${id}/model.bin`, id);
    await held.assertHeld();
    const key = lease.manifestKey(id);
    await store.put(key, JSON.stringify({ format: 1, id, parent }), { ifNoneMatch: "*" }).catch((error) => {
      if (error.name !== "ConditionFailed") throw error; // there already, by our own lost reply
    });
    history.acknowledged.add(id);
    await lease.moveHead(store, held, id);
    if (!history.moves.has(id)) violated(`${id} was acknowledged and the head never moved to it`);
    history.published.add(id);
    tally.published += 1;
  }

  /** Retention: the oldest ones go, which leaves gaps in the chain of parents. */
  async function removeOldest({ store }: Process, held: Held): Promise<void> {
    try {
      await held.assertHeld();
      const ids = await lease.readLineage(store);
      // Where latest.json is removed, only the chain of parents leads back.
      const doomed = ids.slice(removes.includes("latest.json") ? ids.length : 3).filter(() => random.chance(0.5));
      for (const id of doomed) history.removed.add(id);
      if (doomed.length > 0) await store.delete(doomed.map((id) => lease.manifestKey(id)));
    } catch (error) {
      rethrowUnlessDown(error);
    }
  }

  async function repeated<T>(process: Process, held: Held, act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        rethrowUnlessDown(error);
        await Promise.race([process.clock.sleep(500), held.lost.then((lost) => Promise.reject(lost))]);
      }
    }
  }

  /** Reads the store's new writes, then the lineage as it is now. */
  async function look(): Promise<void> {
    if (failure !== undefined) throw failure;
    const { writes } = world.memory;
    let hasChanged = false;
    for (; seen < writes.length; seen += 1) {
      const { key, body } = writes[seen] as (typeof writes)[number];
      const id = /^checkpoints\/(.+)\/manifest\.json$/.exec(key)?.[1];
      if (id !== undefined && !history.manifests.has(id)) history.manifests.set(id, seen);
      if (id !== undefined && isStale(id)) tally.stale += 1;
      if (key === "lease.json") onLease(JSON.parse(body.toString()), seen);
      if (key === "latest.json") onHead(JSON.parse(body.toString()), seen);
      if (key === "run.json") onRunRecord(JSON.parse(body.toString()));
      hasChanged ||= id !== undefined || key === "latest.json";
    }
    if (hasChanged) await checkLineage();
  }

  function onLease({ epoch }: { epoch: number }, at: number): void {
    if (!history.takings.has(epoch)) history.takings.set(epoch, at);
  }

  function onHead({ epoch, checkpoint }: { epoch: number; checkpoint: string | null }, at: number): void {
    const begun = [...history.beginnings].find(([other, since]) => other > epoch && since <= at)?.[0] ?? 0;
    const newer = Math.max(highest.head, begun);
    if (newer > epoch) {
      // Where it was removed, an old writer can set it again; that nobody believes it is what the lineage shows.
      const isRemoved = removes.includes("latest.json");
      if (!isRemoved) violated(`epoch ${epoch} moved the head after epoch ${newer} had taken over`);
      return;
    }
    const isFence = !history.fences.has(epoch);
    highest = { ...highest, head: epoch };
    if (isFence) history.fences.set(epoch, at);
    if (isFence && checkpoint === null) {
      const isAsked = history.freshEpochs.has(epoch);
      if (isAsked) history.freshAt = at;
    }
    if (checkpoint === null) return;
    checkLegit(checkpoint, "became the head");
    if (!history.moves.has(checkpoint)) history.moves.set(checkpoint, at);
  }

  function onRunRecord({ epoch }: { epoch: number }): void {
    if (epoch < highest.run) violated(`epoch ${epoch} wrote the run record after epoch ${highest.run} had`);
    highest = { ...highest, run: epoch };
  }

  /** Written after a newer epoch had fenced, or had begun, which comes after it. */
  function isStale(id: string): boolean {
    return isAfter(id, history.fences) || isAfter(id, history.beginnings);
  }

  function isAfter(id: string, newer: ReadonlyMap<number, number>): boolean {
    const epoch = parseCheckpointId(id)?.epoch ?? 0;
    const writtenAt = history.manifests.get(id) ?? Number.POSITIVE_INFINITY;
    return [...newer].some(([other, at]) => other > epoch && at <= writtenAt);
  }

  function checkLegit(id: string, what: string): void {
    if (!history.manifests.has(id)) violated(`${id} ${what} and has no manifest`);
    if (isStale(id)) violated(`${id} ${what}, and was written after its epoch had ended`);
  }

  async function checkLineage(): Promise<void> {
    const ids = await lease.readLineage(world.memory);
    for (const id of ids) checkLegit(id, "is in the lineage");
    for (const id of history.published) {
      const isCurrent = (history.moves.get(id) ?? -1) > history.freshAt && !history.removed.has(id);
      if (isCurrent && !ids.includes(id)) violated(`${id} was acknowledged and is not in the lineage: ${ids}`);
    }
    const newest = Math.max(-1, ...ids.map((id) => history.manifests.get(id) ?? -1));
    for (const id of history.acknowledged) {
      const at = history.manifests.get(id) ?? -1;
      if (at > newest && at > history.freshAt && !isAfter(id, history.takings)) {
        violated(`the manifest of ${id} was acknowledged and the lineage has only older ones: ${ids}`);
      }
    }
  }
}

function isLost(error: unknown): boolean {
  return error instanceof UserError && error.code === "VL_LEASE_LOST";
}

function rethrowUnlessDown(error: unknown): void {
  const isDown = error instanceof UserError && error.code === "VL_STORE_DOWN";
  if (!isDown) throw error;
}
