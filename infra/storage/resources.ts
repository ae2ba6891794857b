/** The stack's checkpoint store as resources: which ones, by the configuration. */
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { Store } from "./access.ts";
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
  store: Store | undefined,
): Promise<StoreResources> {
  if (!store) return { before: [], runKeys: undefined, bucket: undefined };
  if (checkpoint.store === "aws") {
    const { awsStore } = await import("./aws-bucket.ts"); // 300 MB of package: only where it is asked for
    return awsStore(store, stack, OLD_VERSION_DAYS);
  }
  const bucket = new S3Bucket("checkpoints", {
    stack,
    market,
    bucket: store.bucket,
    endpoint: checkpoint.endpoint,
    region: checkpoint.region,
    oldVersionDays: OLD_VERSION_DAYS,
  });
  bucket.lacks.apply((lines) => {
    for (const line of lines ?? []) pulumi.log.info(line, bucket);
  });
  return { before: [bucket], runKeys: undefined, bucket: bucket.bucket };
}
