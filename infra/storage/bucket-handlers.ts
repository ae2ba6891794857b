/**
 * Lifecycle of a checkpoint bucket on any S3 endpoint. Data outlives machines: nothing here deletes a bucket.
 *
 * | call   | does                                            | leaves                                        |
 * |--------|-------------------------------------------------|-----------------------------------------------|
 * | create | looks; makes it with all settings if it is not  | a bucket; an existing one exactly as it was   |
 * | diff   | compares inputs and what was seen; no network   | -                                             |
 * | read   | looks, and reads the settings of one we made    | -                                             |
 * | update | makes it again if gone, sets what is not set    | as create                                     |
 * | delete | nothing                                         | the bucket, with all in it                    |
 *
 * No key is among inputs or outputs: they are looked up where this runs (access.ts).
 */
import type { S3Client } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { fileLog, type Log } from "../../common/log.ts";
import { createS3, loadS3 } from "../../common/s3.ts";
import { storeCodeOf, storeErrorOf } from "../../common/store-errors.ts";
import { environmentOf } from "../project.ts";
import { type HandlerContext, operationLog } from "../vast/handler-context.ts";
import type { MarketName } from "../vast/market.ts";
import { contextOf, describeStore, resolveStore, type Store, s3AccessOf } from "./access.ts";
import { lookAtBucket } from "./look.ts";
import { madeHere } from "./made-here.ts";
import { applySettings, describeLacks, type Place, readSettings, SETTING_NAMES, type Settings } from "./settings.ts";

export interface BucketInputs {
  stack: string;
  market: MarketName;
  bucket: string;
  /** As configured: null is AWS, or the emulator's own. */
  endpoint: string | null;
  region: string | null;
  /** Days until a version that was overwritten or deleted is gone for good. */
  oldVersionDays: number;
  /** The program saw that there is none; left out otherwise, and never kept in the state. */
  isMissing?: boolean;
}

export interface BucketState extends Omit<BucketInputs, "isMissing"> {
  schemaVersion: 1;
  /** Made by us, so its settings are ours to keep; an existing bucket is never changed. */
  created: boolean;
  settings: Settings;
  /** What to know about it, a line each. */
  lacks: string[];
}

export type BucketContext = Pick<HandlerContext, "root" | "stateDir"> & { env?: NodeJS.ProcessEnv; clock?: Clock };

export function bucketHandlers(context: BucketContext) {
  return {
    async create(inputs: BucketInputs) {
      return { id: inputs.bucket, outs: await withBucket(context, inputs, (bucket) => ensure(bucket, inputs)) };
    },

    async diff(_id: string, olds: BucketState, news: BucketInputs) {
      const replaces = (["market", "endpoint", "bucket"] as const).filter((key) => olds[key] !== news[key]);
      const isOff = SETTING_NAMES.some((name) => olds.settings[name] === "off" || olds.settings[name] === "failed");
      const changes =
        replaces.length > 0 ||
        news.isMissing === true ||
        olds.region !== news.region ||
        olds.oldVersionDays !== news.oldVersionDays ||
        (olds.created && isOff);
      return { changes, replaces, deleteBeforeReplace: false };
    },

    /** A store that does not answer proves nothing: the bucket stays recorded as it was, and no refresh is stopped. */
    async read(id: string, state: BucketState) {
      const log = logOf(context, state);
      try {
        const found = await withBucket(context, state, async (bucket) => {
          if ((await lookAtBucket(bucket.client, bucket.store)) === "missing") return undefined;
          if (!state.created) return state;
          return stateOf(state, true, await readSettings(bucket.client, bucket.place), bucket.place);
        });
        return found === undefined ? {} : { id, props: { ...state, ...found } };
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        log(`not refreshed: ${error.what}`);
        return { id, props: state };
      }
    },

    async update(_id: string, olds: BucketState, news: BucketInputs) {
      return { outs: await withBucket(context, news, (bucket) => ensure(bucket, news, olds)) };
    },

    async delete(_id: string, state: BucketState): Promise<void> {
      logOf(context, state)(`bucket ${state.bucket} is kept, with all that is in it`);
    },
  };
}

interface Bucket {
  client: S3Client;
  store: Store;
  place: Place;
  log: Log;
  made: ReturnType<typeof madeHere>;
  clock: Clock;
}

async function withBucket<T>(context: BucketContext, inputs: BucketInputs, act: (bucket: Bucket) => Promise<T>) {
  const store = storeOf(context, inputs);
  const client = await createS3(s3AccessOf(store), { requestMs: 30_000 });
  const isAws = store.endpoint === null;
  const place = {
    bucket: store.bucket,
    region: store.region,
    isAws,
    isTls: isAws || (store.endpoint?.startsWith("https:") ?? false),
    oldVersionDays: inputs.oldVersionDays,
  };
  try {
    const { clock = systemClock, stateDir } = context;
    return await act({ client, store, place, clock, log: logOf(context, inputs), made: madeHere(stateDir, store) });
  } catch (error) {
    throw storeErrorOf(error, contextOf(store, `the set-up of ${inputs.bucket}`));
  } finally {
    client.destroy();
  }
}

function storeOf({ root, env = environmentOf(root) }: BucketContext, inputs: BucketInputs): Store {
  const { market, bucket, endpoint, region } = inputs;
  const checkpoint = { store: "s3" as const, s3_bucket: bucket, s3_prefix: "", endpoint, region };
  const store = resolveStore({ market, checkpoint }, root, env);
  if (!store) throw new Error("unreachable: the store is s3");
  return store;
}

/** Makes the bucket if it is not there, and sets what is ours to set. */
async function ensure(bucket: Bucket, inputs: BucketInputs, olds?: BucketState): Promise<BucketState> {
  const { client, store, place, log, made, clock } = bucket;
  const isThere = (await lookAtBucket(client, store)) === "there";
  if (isThere && !made.has() && !olds?.created) {
    const settings = await readSettings(client, place);
    log(`bucket ${store.bucket} exists and is used as it is`);
    return said(stateOf(inputs, false, settings, place), log);
  }
  if (!isThere) {
    made.note();
    await make(client, store, inputs);
    log(`made the bucket ${describeStore(store)}`);
  }
  return said(stateOf(inputs, true, await applySettings(client, place, clock), place), log);
}

async function make(client: S3Client, store: Store, inputs: BucketInputs): Promise<void> {
  const sdk = await loadS3();
  const isDefault = store.region === "us-east-1" || (store.endpoint !== null && inputs.region === null);
  // For us-east-1 there must be none; other stores refuse what is not their own region, so only one that was named.
  const place = isDefault ? {} : { CreateBucketConfiguration: { LocationConstraint: store.region as "eu-central-1" } };
  try {
    await client.send(new sdk.CreateBucketCommand({ Bucket: store.bucket, ...place }));
  } catch (error) {
    if (storeCodeOf(error) === "BucketAlreadyOwnedByYou") return; // another stack of ours was faster
    throw storeErrorOf(error, contextOf(store, `the creation of ${store.bucket}`));
  }
}

function stateOf(
  { isMissing: _, ...inputs }: BucketInputs,
  created: boolean,
  settings: Settings,
  place: Place,
): BucketState {
  const lacks = describeLacks(inputs.bucket, settings, created, place.isTls);
  // In full, with the shim's own `__provider`: Pulumi drops what is left out.
  return { ...inputs, schemaVersion: 1, created, settings, lacks };
}

function said(state: BucketState, log: Log): BucketState {
  for (const line of state.lacks) log(line);
  return state;
}

function logOf(context: BucketContext, { stack }: Pick<BucketInputs, "stack">): Log {
  return fileLog(operationLog(context.stateDir, stack), "bucket");
}
