/** Whose an AWS bucket is: nobody's yet, this stack's by its tag, or somebody else's. */
import { UserError } from "../../common/errors.ts";
import { createS3, loadS3 } from "../../common/s3.ts";
import { statusOf, storeCodeOf, storeErrorOf } from "../../common/store-errors.ts";
import { contextOf, type Store, s3AccessOf } from "./access.ts";
import { lookAtBucket } from "./look.ts";

export type Owner = "nobody" | "ours" | "other";

/** The tag's key; its value is `project/stack`. */
export const TAG = "vastlane";

/**
 * Tags that may not be read are an error, never "somebody else's": the answer must not change with a permission.
 * @throws UserError VL_BUCKET_REFUSED, VL_STORE_*
 */
export async function ownerOf(store: Store, mark: string): Promise<Owner> {
  const client = await createS3(s3AccessOf(store), { attempts: 4, requestMs: 15_000 });
  try {
    if ((await lookAtBucket(client, store)) === "missing") return "nobody";
    const { GetBucketTaggingCommand } = await loadS3();
    const { TagSet = [] } = await client.send(new GetBucketTaggingCommand({ Bucket: store.bucket }));
    return TagSet.some(({ Key, Value }) => Key === TAG && Value === mark) ? "ours" : "other";
  } catch (error) {
    if (storeCodeOf(error) === "NoSuchTagSet") return "other";
    if (statusOf(error) === 403 && storeCodeOf(error) === "AccessDenied") throw tagsClosed(store, error);
    throw storeErrorOf(error, contextOf(store, `the look at ${store.bucket}`));
  } finally {
    client.destroy();
  }
}

function tagsClosed(store: Store, cause: unknown): UserError {
  return new UserError("VL_STORE_DENIED", {
    what: `it cannot be told whose bucket ${store.bucket} is`,
    why: `its tags may not be read with ${store.keysFrom}`,
    hint: "allow s3:GetBucketTagging, or use the bucket through vastlane:checkpoint.store: s3, which needs no tags",
    cause,
  });
}
