/**
 * What a machine gets to reach the store: the content of `W/.vastlane/store.json`. Keys that reach one prefix of one
 * bucket and cannot delete versions, as a stranger's host holds them. The emulator makes such keys on request; for
 * `store: aws` the program made them; for any other endpoint a person gives them, and where nobody did, the machine
 * gets the person's own, which is said.
 */
import { messageOf, UserError } from "../../common/errors.ts";
import { createS3 } from "../../common/s3.ts";
import { Secret } from "../../common/secret.ts";
import { storeErrorOf } from "../../common/store-errors.ts";
import type { Market } from "../vast/market.ts";
import { contextOf, keysIn, runPrefix, type Store, type StoreKeys, s3AccessOf } from "./access.ts";
import { runPolicy } from "./policy.ts";

/** `store.json`, as the runtime reads it. */
export interface StoreFile {
  /** Null: AWS. On the emulated market the machine's VASTLANE_EMULATOR_S3 is meant instead. */
  endpoint: string | null;
  region: string;
  bucket: string;
  /** With the run's id. */
  prefix: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | null;
  /** Null: what suits the endpoint. */
  pathStyle: boolean | null;
  emulated: boolean;
}

export interface RunAccess {
  file: StoreFile;
  /** For people: that the machine holds more than it needs, or keys that end. */
  warning: string | undefined;
}

export interface RunAccessOptions {
  runId: string;
  /** Asked only on the emulated market. */
  market: () => Pick<Market, "url" | "key">;
  env: NodeJS.ProcessEnv;
  /** Of `store: aws`, from the program's secret outputs. */
  given?: StoreKeys | undefined;
  fetch?: typeof fetch;
}

/** @throws UserError VL_STORE_NO_KEY, VL_STORE_DENIED, VL_EMULATOR_DOWN */
export async function runAccess(store: Store, options: RunAccessOptions): Promise<RunAccess> {
  const prefix = runPrefix(store, options.runId);
  const { keys, warning } = await keysForRun(store, prefix, options);
  const { endpoint, region, bucket, isEmulated } = store;
  const file = {
    endpoint,
    region,
    bucket,
    prefix,
    accessKeyId: keys.accessKeyId,
    secretAccessKey: keys.secretAccessKey.reveal(),
    sessionToken: keys.sessionToken?.reveal() ?? null,
    pathStyle: isEmulated ? true : null,
    emulated: isEmulated,
  };
  return { file, warning };
}

interface Keys {
  keys: StoreKeys;
  warning?: string;
}

async function keysForRun(store: Store, prefix: string, options: RunAccessOptions): Promise<Keys> {
  if (store.isEmulated) return { keys: await emulatedKeys(store, prefix, options) };
  const { given = keysIn(options.env, "VASTLANE_RUN_") } = options;
  if (given) return { keys: given };
  const { keys, expires } = store.keys ? { keys: store.keys, expires: undefined } : await keysOfChain(store);
  return { keys, warning: ownKeysWarning(store, expires) };
}

/** The person's own keys as AWS's chain has them. */
async function keysOfChain(store: Store): Promise<{ keys: StoreKeys; expires: Date | undefined }> {
  const client = await createS3(s3AccessOf(store));
  try {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await client.config.credentials();
    const keys = {
      accessKeyId,
      secretAccessKey: new Secret(secretAccessKey),
      sessionToken: sessionToken ? new Secret(sessionToken) : null,
    };
    return { keys, expires: expiration };
  } catch (error) {
    throw storeErrorOf(error, contextOf(store, "the search for keys"));
  } finally {
    client.destroy();
  }
}

function ownKeysWarning(store: Store, expires: Date | undefined): string {
  const ends = expires ? `, and they expire at ${expires.toISOString()}, after which nothing more is saved` : "";
  return [
    `the machine gets your own keys for ${store.bucket} (${store.keysFrom})${ends}; whoever runs the host can read them.`,
    "Make keys that reach only this prefix, with the policy below, and set VASTLANE_RUN_ACCESS_KEY_ID and VASTLANE_RUN_SECRET_ACCESS_KEY in .env:",
    JSON.stringify(runPolicy(store)),
  ].join("\n");
}

/** The emulator's keys for one prefix; the same ones each time they are asked for. */
async function emulatedKeys(store: Store, prefix: string, options: RunAccessOptions): Promise<StoreKeys> {
  const { fetch: request = fetch } = options;
  const market = options.market();
  const down = (why: string) =>
    new UserError("VL_EMULATOR_DOWN", {
      what: "the emulator gives no keys for the run's store",
      why,
      hint: "npx vastlane emulator status; restart it if it is of an older vastlane",
    });
  try {
    const response = await request(`${market.url}/_emulator/s3/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${market.key.reveal()}`, "content-type": "application/json" },
      body: JSON.stringify({ bucket: store.bucket, prefix }),
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) throw down(`it answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
    const { accessKeyId, secretAccessKey } = (await response.json()) as Partial<Record<string, string>>;
    if (!accessKeyId || !secretAccessKey) throw down("its answer has no keys");
    return { accessKeyId, secretAccessKey: new Secret(secretAccessKey), sessionToken: null };
  } catch (error) {
    throw error instanceof UserError ? error : down(messageOf(error));
  }
}
