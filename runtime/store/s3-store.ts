/**
 * The object store over S3: any endpoint, keys below one prefix, errors in words. Small requests (lease, manifests)
 * are bounded in time and repeated here, so that a conditional write is never repeated blindly; transfers of files
 * are left to the SDK's retries. Nothing is loaded or opened before the first request.
 */
import { randomUUID } from "node:crypto";
import type { S3Client } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { type RetryPolicy, retry } from "../../common/retry.ts";
import { createS3, loadS3 } from "../../common/s3.ts";
import {
  hasNotArrived,
  isTransient,
  type StoreContext,
  statusOf,
  storeCodeOf,
  storeErrorOf,
} from "../../common/store-errors.ts";
import type { StoreAccess } from "./access.ts";
import { allowDirectGets } from "./direct-get.ts";
import { downloadFile } from "./download.ts";
import { inParallel } from "./parallel.ts";
import { type Condition, ConditionFailed, type ObjectInfo, type ObjectStore, type StoredObject } from "./types.ts";
import { uploadFile } from "./upload.ts";

export interface StoreOptions {
  /** How long a small request is tried, in ms; a transfer's parts are tried by count. */
  retryMs?: number;
  /** How long one try of a small request may take, in ms. */
  requestMs?: number;
  /** A connection on which nothing moves for so long is given up, in ms. */
  idleMs?: number;
  /** Where the keys come from, for messages. */
  keysFrom?: string;
  env?: NodeJS.ProcessEnv;
  clock?: Clock;
  random?: () => number;
}

/** A store with connections of its own. */
export interface OpenStore extends ObjectStore {
  close(): void;
}

const DELETES_AT_A_TIME = 8;

/** Opens what `access` names. Sends nothing yet. */
export function openStore(access: StoreAccess, options: StoreOptions = {}): OpenStore {
  const { bucket } = access;
  const prefix = access.prefix.replace(/^\/+|\/+$/g, "");
  const name = `s3://${bucket}${prefix ? `/${prefix}` : ""}`;
  const fullKey = (key: string) => (prefix ? `${prefix}/${key}` : key);
  const idleMs = options.idleMs ?? 30_000;
  const env = options.env ?? process.env;
  const context: StoreContext = {
    bucket,
    endpoint: access.endpoint,
    region: access.region,
    ...(options.keysFrom ? { keysFrom: options.keysFrom } : {}),
  };
  const policy: RetryPolicy = { totalMs: options.retryMs ?? 20_000, firstMs: 200, factor: 2, maxMs: 3_000 };
  const timing = { clock: options.clock ?? systemClock, random: options.random ?? Math.random };

  const small = once(async () => {
    const s3 = await createS3(access, {
      attempts: 1,
      connections: 8,
      idleMs,
      requestMs: options.requestMs ?? 10_000,
      env,
    });
    keepDates(s3);
    return s3;
  });
  const bulk = once(async () => {
    const s3 = await createS3(access, { connections: 8, idleMs, env });
    allowDirectGets(s3, idleMs);
    return s3;
  });
  let conditions: Promise<boolean> | undefined;

  return {
    name,
    hasConditions() {
      conditions ??= probe().catch((error) => {
        conditions = undefined; // an answer is remembered, a failure is not
        throw error;
      });
      return conditions;
    },
    get: (key) => said(`reading ${key}`, () => repeated(() => getOnce(key))),
    put: (key, body, condition) => said(`writing ${key}`, () => putSafely(key, toBytes(body), condition)),
    list: (below) => said(`listing ${below}`, () => listAll(below)),
    async delete(keys) {
      const { DeleteObjectCommand } = await loadS3();
      const s3 = await small();
      // One by one: not every store has the call that deletes many.
      await inParallel(DELETES_AT_A_TIME, keys, undefined, () => async (key) => {
        const command = new DeleteObjectCommand({ Bucket: bucket, Key: fullKey(key) });
        await said(`deleting ${key}`, () => repeated(() => s3.send(command)));
      });
    },
    upload: (key, file, transfer) =>
      said(
        `uploading ${key}`,
        async () => uploadFile({ s3: await bulk(), bucket, key: fullKey(key) }, file, transfer),
        transfer?.signal,
      ),
    download: (key, file, bytes, transfer) =>
      said(
        `downloading ${key}`,
        async () => downloadFile({ s3: await bulk(), bucket, key: fullKey(key) }, file, bytes, transfer),
        transfer?.signal,
      ),
    close() {
      for (const client of [small, bulk]) client.started?.then((s3) => s3.destroy()).catch(() => {});
    },
  };

  async function getOnce(key: string): Promise<StoredObject | undefined> {
    const { GetObjectCommand } = await loadS3();
    const s3 = await small();
    try {
      const answer = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: fullKey(key) }));
      const bytes = (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
      return {
        body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        etag: answer.ETag ?? "",
        lastModifiedMs: answer.LastModified?.getTime() ?? 0,
        storeNowMs: dateOf(answer.$metadata) ?? timing.clock.now(),
      };
    } catch (error) {
      if (storeCodeOf(error) === "NoSuchKey") return undefined;
      if (storeCodeOf(error) === "AccessDenied" && (await isAbsent(key))) return undefined;
      throw error;
    }
  }

  /**
   * AWS answers 403, not 404, for a missing object to keys that may list only below a prefix (S3 API reference,
   * GetObject, "Permissions"): whether it is there is then for a list to say, which those keys may ask for.
   */
  async function isAbsent(key: string): Promise<boolean> {
    const { ListObjectsV2Command } = await loadS3();
    const s3 = await small();
    try {
      const page = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: fullKey(key), MaxKeys: 1 }));
      return page.Contents?.[0]?.Key !== fullKey(key);
    } catch {
      return false; // may not list either: the refusal is meant
    }
  }

  async function putOnce(key: string, body: Uint8Array, condition: Condition | undefined): Promise<{ etag: string }> {
    const { PutObjectCommand } = await loadS3();
    const s3 = await small();
    const conditional =
      condition === undefined
        ? {}
        : "ifMatch" in condition
          ? { IfMatch: condition.ifMatch }
          : { IfNoneMatch: condition.ifNoneMatch };
    const type = key.endsWith(".json") ? { ContentType: "application/json" } : {};
    const target = { Bucket: bucket, Key: fullKey(key) };
    const answer = await s3.send(new PutObjectCommand({ ...target, Body: body, ...type, ...conditional }));
    return { etag: answer.ETag ?? "" };
  }

  /**
   * A conditional write whose answer was lost may have happened: the next try then meets its own success as 412. So
   * after such a try a 412 is looked into: the object with exactly these bytes is taken for ours. Bodies that two
   * writers must not share carry a random `writeId`.
   */
  async function putSafely(key: string, body: Uint8Array, condition: Condition | undefined) {
    let mayHaveHappened = false;
    return repeated(async () => {
      try {
        return await putOnce(key, body, condition);
      } catch (error) {
        if (!condition) throw error;
        if (!isConditionFailure(error)) {
          if (!hasNotArrived(error)) mayHaveHappened = true;
          throw error;
        }
        const found = mayHaveHappened ? await getOnce(key) : undefined;
        if (found?.body.equals(body)) return { etag: found.etag };
        throw new ConditionFailed(key, { cause: error });
      }
    });
  }

  async function listAll(below: string): Promise<ObjectInfo[]> {
    const { ListObjectsV2Command } = await loadS3();
    const s3 = await small();
    const found: ObjectInfo[] = [];
    let token: string | undefined;
    do {
      const page = await repeated(() =>
        s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: fullKey(below), ContinuationToken: token })),
      );
      for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
        if (Key === undefined) continue;
        const key = prefix ? Key.slice(prefix.length + 1) : Key;
        found.push({ key, bytes: Size ?? 0, etag: ETag ?? "", lastModifiedMs: LastModified?.getTime() ?? 0 });
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return found;
  }

  /** Asks for writes that must fail, and for those that must succeed. */
  async function probe(): Promise<boolean> {
    const key = `.probe/${randomUUID()}`;
    const holds = async (condition: Condition): Promise<boolean> => {
      try {
        await repeated(() => putOnce(key, Buffer.from(randomUUID()), condition));
        return true;
      } catch (error) {
        if (isConditionFailure(error) || statusOf(error) === 501 || statusOf(error) === 400) return false;
        throw error;
      }
    };
    return said("asking for conditional writes", async () => {
      const { etag } = await repeated(() => putOnce(key, Buffer.from("probe"), undefined));
      try {
        if (await holds({ ifNoneMatch: "*" })) return false;
        if (await holds({ ifMatch: `"${"0".repeat(32)}"` })) return false;
        return await holds({ ifMatch: etag });
      } finally {
        const { DeleteObjectCommand } = await loadS3();
        await (await small()).send(new DeleteObjectCommand({ Bucket: bucket, Key: fullKey(key) })).catch(() => {});
      }
    });
  }

  function repeated<T>(act: () => Promise<T>): Promise<T> {
    let isClockCorrected = false;
    return retry(
      act,
      (error, planned) => {
        // The SDK has learned the store's time from this answer and uses it from now on.
        if (isClockFault(error) && !isClockCorrected) {
          isClockCorrected = true;
          return 0;
        }
        return isTransient(error) || isConflict(error) ? planned : undefined;
      },
      policy,
      timing,
    );
  }

  async function said<T>(action: string, act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await act();
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ConditionFailed || error instanceof UserError) throw error;
      if (isMissing(error)) throw missing(action, name, error);
      if (isLocal(error)) throw error;
      throw storeErrorOf(error, { ...context, action });
    }
  }
}

const toBytes = (body: Uint8Array | string) => (typeof body === "string" ? Buffer.from(body) : body);

/** A function that does its work at the first call; `started` is the result once there was one. */
function once<T>(make: () => Promise<T>): (() => Promise<T>) & { started?: Promise<T> } {
  const get: (() => Promise<T>) & { started?: Promise<T> } = () => {
    get.started ??= make();
    return get.started;
  };
  return get;
}

/** Notes the answer's `Date` in the metadata of what a command gives, in ms. */
function keepDates(s3: S3Client): void {
  s3.middlewareStack.add(
    (next) => async (request) => {
      const result = await next(request);
      const { headers } = result.response as { headers?: Record<string, string> };
      const answeredMs = Date.parse(headers?.date ?? "");
      if (!Number.isNaN(answeredMs)) Object.assign(result.output?.$metadata ?? {}, { answeredMs });
      return result;
    },
    { step: "deserialize", priority: "high", name: "vastlaneDates" },
  );
}

const dateOf = (metadata: object) => (metadata as { answeredMs?: number }).answeredMs;

const isConditionFailure = (error: unknown) => statusOf(error) === 412;
const isConflict = (error: unknown) => storeCodeOf(error) === "ConditionalRequestConflict";
const isClockFault = (error: unknown) => storeCodeOf(error) === "RequestTimeTooSkewed";
const isMissing = (error: unknown) => ["NoSuchKey", "NotFound"].includes(storeCodeOf(error));

/** Faults of this computer's files, but for a full disk, which people can do something about. */
function isLocal(error: unknown): boolean {
  const { code, syscall } = error as { code?: string; syscall?: string };
  const isFile = /^(open|read|write|rename|unlink|stat|ftruncate|mkdir|statfs)$/.test(syscall ?? "");
  return isFile && code !== "ENOSPC" && code !== "EDQUOT";
}

function missing(action: string, name: string, cause: unknown): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: `Something is missing in ${name}.`,
    why: `${action}: there is no such object.`,
    hint: "use the checkpoint before: vastlane checkpoints ls",
    cause,
  });
}
