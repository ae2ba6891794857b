/** The stack's checkpoint store as resources: which ones, by the configuration. */
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { Store } from "./access.ts";
import { ownerOf } from "./aws-owner.ts";
import { S3Bucket } from "./s3-bucket.ts";

export interface StoreResources {
  /** What must be there before a machine is worth renting. */
  before: pulumi.Resource[];
  /** Keys that were made for the run, under the names of VASTLANE_RUN_...; a Pulumi secret. */
  runKeys: pulumi.Output<Record<string, string>> | undefined;
  /** The bucket's name; undefined: no store. */
  bucket: pulumi.Output<string> | undefined;
}

/** Long enough to notice that something was deleted by mistake, or by whoever took a machine's keys. */
export const OLD_VERSION_DAYS = 30;

export async function storeResources(
  { market, checkpoint }: StackConfig,
  stack: string,
  { store, isBucketMissing }: { store: Store | undefined; isBucketMissing: boolean },
): Promise<StoreResources> {
  if (!store) return { before: [], runKeys: undefined, bucket: undefined };
  if (checkpoint.store === "aws") {
    return awsStore(store, stack);
  }
  const bucket = new S3Bucket("checkpoints", {
    stack,
    market,
    bucket: store.bucket,
    endpoint: checkpoint.endpoint,
    region: checkpoint.region,
    oldVersionDays: OLD_VERSION_DAYS,
    // Only when it is so: the state knows what there was, and this is what makes it look again.
    ...(isBucketMissing && { isMissing: true }),
  });
  bucket.lacks.apply((lines) => {
    for (const line of lines ?? []) pulumi.log.info(line, bucket);
  });
  return { before: [bucket], runKeys: undefined, bucket: bucket.bucket };
}

/** @throws UserError VL_BUCKET_REFUSED, VL_STORE_* when it cannot be told whose the bucket is */
async function awsStore(store: Store, stack: string): Promise<StoreResources> {
  const { bucket, prefix, region, profile } = store;
  const mark = `${pulumi.getProject()}/${stack}`;
  const owner = await ownerOf(store, mark);
  if (owner === "other") pulumi.log.info(`bucket ${bucket} exists and is used as it is, with the settings that it has`);
  const { AwsBucket } = await import("./aws-bucket.ts"); // a package of 300 MB: only where it is asked for
  const args = { bucket, prefix, region, profile, mark, owner, oldVersionDays: OLD_VERSION_DAYS };
  const made = new AwsBucket("checkpoints", args);
  return { before: [made], runKeys: made.runKeys, bucket: made.bucket };
}
