/**
 * Where a stack's checkpoint store is, and a person's way in: keys from the environment or `.env`, else AWS's own
 * chain (profiles, SSO, roles). Never from Pulumi's configuration, which Pulumi copies into the state. The emulated
 * market's own store has its keys in the emulator's home, and never sees AWS keys.
 * What a machine gets is another matter: run-access.ts.
 */
import { join } from "node:path";
import { z } from "zod";
import { Bug, UserError } from "../../common/errors.ts";
import type { S3Access } from "../../common/s3.ts";
import { Secret } from "../../common/secret.ts";
import type { StoreContext } from "../../common/store-errors.ts";
import type { StackConfig } from "../config.ts";
import { environmentOf } from "../project.ts";
import { emulatorDown, emulatorHome, readEmulatorFile } from "../vast/market.ts";
import { joinKey, trimSlashes } from "./names.ts";

export interface StoreKeys {
  accessKeyId: string;
  secretAccessKey: Secret;
  sessionToken: Secret | null;
}

/** A stack's store. Safe to print: keys are `Secret`. */
export interface Store {
  kind: "aws" | "s3";
  /** Null: AWS. */
  endpoint: string | null;
  region: string;
  bucket: string;
  /** The stack's part of all keys, without the run; no slash at either end; may be empty. */
  prefix: string;
  /** The emulator's own. */
  isEmulated: boolean;
  /** Null: AWS's chain is asked, with `profile` where one is named. */
  keys: StoreKeys | null;
  profile: string | null;
  /** Where the keys come from, for messages. */
  keysFrom: string;
}

/** What of a stack's configuration says where its store is. */
export interface StoreConfig {
  market: StackConfig["market"];
  checkpoint: Pick<StackConfig["checkpoint"], "store" | "s3_bucket" | "s3_prefix" | "endpoint" | "region">;
}

/**
 * The store of a stack, or undefined when it has none. Asks nothing of the network.
 * @throws UserError VL_EMULATOR_DOWN, VL_STORE_NO_KEY
 */
export function resolveStore(
  { market, checkpoint }: StoreConfig,
  root: string,
  env: NodeJS.ProcessEnv = environmentOf(root),
): Store | undefined {
  if (checkpoint.store === "none") return undefined;
  const { store: kind, s3_bucket: bucket, endpoint } = checkpoint;
  if (bucket === null) throw new Bug("a store without a bucket passed the configuration's schema");
  const place = { kind, bucket, prefix: trimSlashes(checkpoint.s3_prefix) };
  if (isEmulatorsOwn({ market, checkpoint })) return { ...place, ...emulatedStore(root, env) };
  return {
    ...place,
    endpoint: endpoint?.replace(/\/$/, "") ?? null,
    region: checkpoint.region ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || DEFAULT_REGION),
    isEmulated: false,
    ...personsKeys(env),
  };
}

export const DEFAULT_REGION = "us-east-1";

/** Whether the store is the emulator's: `store: s3` on the emulated market, with no endpoint named. */
export function isEmulatorsOwn({ market, checkpoint }: StoreConfig): boolean {
  return market === "emulator" && checkpoint.store === "s3" && checkpoint.endpoint === null;
}

/** As `createS3` and the runtime's `openStore` take it. */
export function s3AccessOf(store: Store): S3Access {
  const { endpoint, region, keys, profile } = store;
  return {
    endpoint,
    region,
    ...(keys && {
      accessKeyId: keys.accessKeyId,
      secretAccessKey: keys.secretAccessKey.reveal(),
      sessionToken: keys.sessionToken?.reveal() ?? null,
    }),
    ...(profile !== null && { profile }),
  };
}

/** What all keys of a run begin with; no slash at either end. */
export function runPrefix(store: Pick<Store, "prefix">, runId: string): string {
  return joinKey(store.prefix, runId);
}

/** For `storeErrorOf`: what the failed request was about. */
export function contextOf(store: Store, action?: string): StoreContext {
  const { bucket, endpoint, region, keysFrom } = store;
  return { bucket, endpoint, region, keysFrom, action };
}

/** `s3://bucket/prefix`, with the endpoint where it is not AWS. */
export function describeStore(store: Pick<Store, "bucket" | "prefix" | "endpoint">): string {
  const at = store.endpoint === null ? "" : ` at ${store.endpoint}`;
  return `s3://${joinKey(store.bucket, store.prefix)}${at}`;
}

function personsKeys(env: NodeJS.ProcessEnv): Pick<Store, "keys" | "profile" | "keysFrom"> {
  const keys = keysIn(env, "AWS_");
  if (keys) return { keys, profile: null, keysFrom: "AWS_ACCESS_KEY_ID, in the environment or .env" };
  const profile = env.AWS_PROFILE || null;
  return {
    keys: null,
    profile,
    keysFrom: profile === null ? "AWS_ACCESS_KEY_ID, .env, AWS profiles and roles" : `the AWS profile ${profile}`,
  };
}

/**
 * Keys under names that begin with `prefix`; undefined when there are none.
 * @throws UserError VL_STORE_NO_KEY when there is one half of them
 */
export function keysIn(env: NodeJS.ProcessEnv, prefix: "AWS_" | "VASTLANE_RUN_"): StoreKeys | undefined {
  const [id, secret] = [`${prefix}ACCESS_KEY_ID`, `${prefix}SECRET_ACCESS_KEY`] as const;
  const accessKeyId = env[id]?.trim();
  const secretAccessKey = env[secret]?.trim();
  if (!accessKeyId && !secretAccessKey) return undefined;
  if (!accessKeyId || !secretAccessKey) {
    throw new UserError("VL_STORE_NO_KEY", {
      what: `${accessKeyId ? secret : id} is not set`,
      why: `${accessKeyId ? id : secret} is, in the environment or .env, and one is nothing without the other`,
      hint: "set both, or neither",
    });
  }
  const token = env[`${prefix}SESSION_TOKEN`]?.trim();
  return { accessKeyId, secretAccessKey: new Secret(secretAccessKey), sessionToken: token ? new Secret(token) : null };
}

const emulatedS3 = z.looseObject({
  endpoint: z.string(),
  accessKeyId: z.string(),
  secretAccessKey: z.string(),
  region: z.string().default(DEFAULT_REGION),
});

function emulatedStore(root: string, env: NodeJS.ProcessEnv): Omit<Store, "kind" | "bucket" | "prefix"> {
  const home = emulatorHome(root, env);
  const file = readEmulatorFile(home);
  if (!file) throw emulatorDown(`there is no emulator in ${home}`);
  const found = emulatedS3.safeParse(file.s3);
  if (!found.success) {
    throw new UserError("VL_EMULATOR_DOWN", {
      what: "this stack keeps its checkpoints in the emulator's store, and the emulator has none",
      why: `${join(home, "emulator.json")} names no store; an older vastlane may have started it`,
      hint: "npx vastlane emulator stop, then npx vastlane emulator start",
    });
  }
  const { endpoint, region, accessKeyId, secretAccessKey } = found.data;
  const keys = { accessKeyId, secretAccessKey: new Secret(secretAccessKey), sessionToken: null };
  return { endpoint, region, isEmulated: true, keys, profile: null, keysFrom: `the emulator's home, ${home}` };
}
