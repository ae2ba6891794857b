/**
 * Checkpoints of one run for a program of your own, the same on a laptop and on a rented machine: saved whole or not
 * at all, kept in a folder and, where a bucket is named, in a store. On a rented machine the agent uploads by itself.
 *
 *     const checkpoints = new CheckpointManager({ localDir: "checkpoints", keepLast: 3 });
 *     const last = await checkpoints.loadLatest();
 *     await checkpoints.save({ step, tensors: { w: { dtype: "F32", shape: [2, 2], data } }, state: { seed } });
 */
import { basename, join } from "node:path";
import { checkpointFolder, parseCheckpointId } from "../../common/checkpoint-id.ts";
import { type Clock, systemClock } from "../../common/clock.ts";
import { hasCode, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { lineage } from "../lease/index.ts";
import type { Tenure } from "../lease/types.ts";
import { type OpenStore, openStore, type StoreAccess } from "../store/index.ts";
import type { ObjectStore, Transfer } from "../store/types.ts";
import { listCheckpoints, pruneCheckpoints, recoverReplaced, stepInName, writeCheckpoint } from "./folders.ts";
import { type LaptopOptions, withTenure } from "./laptop-tenure.ts";
import { DamagedCheckpoint, type Manifest, readLocalManifest } from "./manifest.ts";
import { publishFolder } from "./publish.ts";
import { restoreNewest } from "./restore.ts";
import { releaseOthers } from "./stage.ts";
import { type LoadedState, readStateFolder, type SavedState, writeStateFolder } from "./state-folder.ts";
import { listStored } from "./stored-list.ts";

export interface CheckpointManagerOptions {
  localDir: string;
  /** None: local only. */
  remoteBucket?: string;
  remotePrefix?: string;
  /** Local checkpoints that are kept, 3 unless given. The store keeps all. */
  keepLast?: number;
  /** Checkpoints of another one are refused. */
  experiment?: string;
  /** Default: VASTLANE_RUN_ID, else the prefix. */
  runId?: string;
  /** Of the store; default AWS, with keys by AWS's own chain. */
  endpoint?: string;
  region?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  pathStyle?: boolean;
  log?: Log;
  clock?: Clock;
  env?: NodeJS.ProcessEnv;
  /** Instead of a bucket, for tests. */
  store?: ObjectStore;
}

export interface ListedCheckpoint {
  /** Of the local folder, or in the store. */
  id: string;
  step: number;
  bytes: number;
  time: string;
  metrics: Record<string, number>;
  folder: string | undefined;
  /** Id in the store. */
  stored: string | undefined;
}

/** Set by the agent in what it starts. */
const SUPERVISED = "VASTLANE_SUPERVISED_IN";

export class CheckpointManager {
  readonly #options: CheckpointManagerOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #runId: string;
  readonly #damaged = new Set<string>();
  #store: ObjectStore | undefined;
  #ownStore: OpenStore | undefined;

  constructor(options: CheckpointManagerOptions) {
    this.#options = options;
    this.#env = options.env ?? process.env;
    this.#log = options.log ?? console.warn;
    this.#clock = options.clock ?? systemClock;
    this.#runId = options.runId ?? this.#env.VASTLANE_RUN_ID ?? options.remotePrefix ?? "local";
    this.#store = options.store;
    recoverReplaced(options.localDir);
  }

  /**
   * Saves a checkpoint as `<localDir>/step-<step>` and removes the oldest beyond `keepLast`. The data of the tensors
   * must not change before the promise resolves; nothing is copied.
   * @throws what the disk throws (ENOSPC when it is full); then the older checkpoints are as they were
   */
  async save(saved: SavedState): Promise<string> {
    const { localDir, keepLast = 3, experiment = null } = this.#options;
    const id = checkpointFolder(saved.step);
    const time = new Date(this.#clock.now()).toISOString();
    const folder = await writeCheckpoint(localDir, id, (unfinished) =>
      writeStateFolder(unfinished, saved, { runId: this.#runId, id, time, experiment }),
    );
    pruneCheckpoints(localDir, keepLast);
    return folder;
  }

  /**
   * Uploads the newest local checkpoint and makes it the newest in the store; gives its id there. Undefined when there
   * is none, when the store has a newer one, or when the agent of a rented machine does this anyway. Killed, the next
   * call goes on.
   * @throws UserError VL_STORE_*, VL_LEASE_HELD when a machine works on this run
   */
  async uploadLatest(transfer: Transfer = {}): Promise<string | undefined> {
    if (this.#isAgentInCharge()) return undefined;
    const store = this.#requireStore();
    const folders = listCheckpoints(this.#options.localDir).reverse();
    if (folders.length === 0) return undefined;
    return withTenure(this.#laptop(store), async (tenure, head) => {
      for (const folder of folders) {
        if (this.#isNewer(head, folder)) return undefined;
        try {
          return await this.#publish(store, tenure, folder, transfer);
        } catch (error) {
          if (!(error instanceof DamagedCheckpoint)) throw error;
          this.#log(`${error.what} The one before is taken.`);
        }
      }
      return undefined;
    });
  }

  /**
   * Brings the newest whole checkpoint of the store's lineage into `localDir`; gives its folder. What is here already
   * is not fetched again. Undefined when the store has none.
   * @throws UserError VL_STORE_*, VL_DISK_FULL, VL_CHECKPOINT_BAD when there are some and none is whole
   */
  async downloadLatest(transfer: Transfer = {}): Promise<string | undefined> {
    const store = this.#requireStore();
    const restored = await restoreNewest({
      store,
      lineage: lineage(store),
      dir: this.#options.localDir,
      expected: { experiment: this.#options.experiment },
      log: this.#log,
      transfer,
    });
    for (const { id } of restored?.damaged ?? []) this.#damaged.add(id);
    return restored?.folder;
  }

  /**
   * The newest checkpoint that verifies, of this folder or of the store. Damaged ones are said and passed over, and
   * so is a store that does not answer where there is a local one. Undefined when there is none at all.
   * @throws UserError VL_CHECKPOINT_BAD for another experiment, a newer format, or when none is whole; VL_STORE_*
   */
  async loadLatest(): Promise<LoadedState | undefined> {
    const problems: string[] = [];
    const local = await this.#loadFrom(listCheckpoints(this.#options.localDir).reverse(), problems);
    if (this.#hasStore() && !this.#isAgentInCharge()) {
      const folder = await this.#downloadNewerThan(local?.step);
      const stored = folder === undefined ? undefined : await this.#loadFrom([folder], problems);
      if (stored && stored.step > (local?.step ?? -1)) return stored;
    }
    if (local || problems.length === 0) return local;
    throw new UserError("VL_CHECKPOINT_BAD", {
      what: `No checkpoint in ${this.#options.localDir} is whole.`,
      why: problems.join("\n"),
      hint: "remove them to begin again",
    });
  }

  /** Local and stored checkpoints, oldest step first. With `isLocal`, the store is not asked. */
  async list({ isLocal = !this.#hasStore() } = {}): Promise<ListedCheckpoint[]> {
    const found: ListedCheckpoint[] = [];
    for (const folder of listCheckpoints(this.#options.localDir)) {
      try {
        const manifest = readLocalManifest(folder);
        if (manifest) found.push({ ...described(manifest), id: basename(folder), folder, stored: undefined });
      } catch {
        // a damaged one is not listed; loading says why
      }
    }
    if (isLocal) return found;
    for (const { manifest, isInLineage } of await listStored(this.#requireStore())) {
      if (!manifest || !isInLineage) continue;
      const same = found.find(({ step, bytes }) => step === manifest.step && bytes === described(manifest).bytes);
      if (same) same.stored = manifest.id;
      else found.push({ ...described(manifest), id: manifest.id, folder: undefined, stored: manifest.id });
    }
    return found.sort((a, b) => a.step - b.step);
  }

  /** Closes the connections to the store. */
  close(): void {
    this.#ownStore?.close();
  }

  async #publish(store: ObjectStore, tenure: Tenure, folder: string, transfer: Transfer): Promise<string> {
    const { localDir, experiment = null } = this.#options;
    const outgoing = join(localDir, ".outgoing");
    releaseOthers(outgoing, [basename(folder)]);
    const manifest = await publishFolder({
      store,
      tenure,
      clock: this.#clock,
      folder,
      outgoing,
      run: { runId: this.#runId, experiment, contentHash: "" },
      damaged: this.#damaged,
      transfer,
    });
    this.#damaged.delete(manifest.id);
    return manifest.id;
  }

  /** A folder that was left behind, on another laptop for instance, must not become the head again. */
  #isNewer(head: string | null, folder: string): boolean {
    const stored = head === null || this.#damaged.has(head) ? undefined : parseCheckpointId(head);
    const isNewer = stored !== undefined && stored.step > (stepInName(folder) ?? stored.step);
    if (isNewer) this.#log(`${folder} is not uploaded: the store has ${head}`);
    return isNewer;
  }

  async #downloadNewerThan(step: number | undefined): Promise<string | undefined> {
    if (step === undefined) return this.downloadLatest();
    try {
      for await (const id of lineage(this.#requireStore())) {
        if ((parseCheckpointId(id)?.step ?? -1) > step) return await this.downloadLatest();
        return undefined;
      }
    } catch (error) {
      if (!hasCode(error, "VL_STORE_DOWN")) throw error;
      this.#log(`going on with the local checkpoint of step ${step}: ${error.what}`);
    }
    return undefined;
  }

  async #loadFrom(folders: readonly string[], problems: string[]): Promise<LoadedState | undefined> {
    for (const folder of folders) {
      try {
        return await readStateFolder(folder, { experiment: this.#options.experiment });
      } catch (error) {
        if (!(error instanceof DamagedCheckpoint)) throw error;
        problems.push(`${basename(folder)}: ${error.why ?? error.what}`);
        this.#log(`checkpoint ${folder} is damaged (${error.why ?? error.what}) trying the one before`);
      }
    }
    return undefined;
  }

  #laptop(store: ObjectStore): LaptopOptions {
    const holderFile = join(this.#options.localDir, ".holder");
    return { store, runId: this.#runId, holderFile, clock: this.#clock, log: this.#log };
  }

  #isAgentInCharge(): boolean {
    return Boolean(this.#env[SUPERVISED]) && !this.#options.credentials && !this.#options.store;
  }

  #hasStore(): boolean {
    return this.#options.remoteBucket !== undefined || this.#options.store !== undefined;
  }

  #requireStore(): ObjectStore {
    if (this.#store) return this.#store;
    const { remoteBucket, remotePrefix = "", endpoint, region, credentials, pathStyle } = this.#options;
    if (!remoteBucket) {
      throw new UserError("VL_USAGE", {
        what: "This CheckpointManager has no store.",
        why: "it was made without remoteBucket, so checkpoints are local only.",
        hint: "give it remoteBucket and remotePrefix",
      });
    }
    const access: StoreAccess = {
      bucket: remoteBucket,
      prefix: remotePrefix,
      endpoint,
      region,
      pathStyle,
      ...credentials,
    };
    this.#ownStore = openStore(access, { env: this.#env, clock: this.#clock });
    this.#store = this.#ownStore;
    return this.#store;
  }
}

function described(manifest: Manifest) {
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return { step: manifest.step, bytes, time: manifest.time, metrics: manifest.metrics };
}
