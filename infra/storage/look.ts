/** Whether a bucket is there and lets us in, told apart from all that can be wrong with it, its store and the keys. */
import type { S3Client } from "@aws-sdk/client-s3";
import { UserError } from "../../common/errors.ts";
import { loadS3 } from "../../common/s3.ts";
import { statusOf, storeCodeOf, storeErrorOf } from "../../common/store-errors.ts";
import { contextOf, describeStore, type Store } from "./access.ts";

/**
 * A list of at most one key, not HEAD: an answer to HEAD has no body, and so cannot say why it refuses.
 * @throws UserError VL_BUCKET_REFUSED (somebody else's, or closed to these keys), VL_STORE_*
 */
export async function lookAtBucket(client: S3Client, store: Store): Promise<"there" | "missing"> {
  const sdk = await loadS3();
  try {
    await client.send(new sdk.ListObjectsV2Command({ Bucket: store.bucket, Prefix: store.prefix, MaxKeys: 1 }));
    return "there";
  } catch (error) {
    if (storeCodeOf(error) === "NoSuchBucket") return "missing";
    if (isClosed(error)) throw closedTo(store, error);
    throw storeErrorOf(error, contextOf(store, `a list of ${store.bucket}`));
  }
}

/** The keys are right, and may not. */
export function isClosed(error: unknown): boolean {
  return storeCodeOf(error) === "AccessDenied" && statusOf(error) === 403;
}

export function closedTo(store: Store, cause: unknown): UserError {
  const at = store.endpoint === null ? "" : ` at ${store.endpoint}`;
  return new UserError("VL_BUCKET_REFUSED", {
    what: `bucket ${store.bucket}${at} exists, and these keys may not list it`,
    why: `it belongs to somebody else (names are shared by all customers of a store), or its policy keeps ${store.keysFrom} out`,
    hint: `choose another vastlane:checkpoint.s3_bucket, or allow s3:ListBucket, s3:GetObject and s3:PutObject on ${describeStore({ ...store, endpoint: null })}`,
    cause,
  });
}
