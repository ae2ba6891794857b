/** A checkpoint bucket on any S3 endpoint, as a resource. See bucket-handlers.ts for what happens. */
import * as pulumi from "@pulumi/pulumi";
import type { BucketInputs } from "./bucket-handlers.ts";
import { bucketProvider } from "./bucket-provider.ts";

export class S3Bucket extends pulumi.dynamic.Resource {
  declare readonly bucket: pulumi.Output<string>;
  /** Made by us; false: it was there before, and is used as it is. */
  declare readonly created: pulumi.Output<boolean>;
  /** What the store does not support or the bucket does not have, a line each. */
  declare readonly lacks: pulumi.Output<string[]>;

  constructor(name: string, args: BucketInputs, options?: pulumi.CustomResourceOptions) {
    // An output exists on the object only if its key is among the properties.
    const outputs = { schemaVersion: undefined, created: undefined, settings: undefined, lacks: undefined };
    // Data outlives machines. Not `protect`, which would stop a destroy and keep machines billing.
    super(bucketProvider, name, { ...outputs, ...args }, { ...options, retainOnDelete: true }, "vastlane", "Bucket");
  }
}
