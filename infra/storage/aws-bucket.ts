/**
 * `store: aws`: a checkpoint bucket and keys for the run by `@pulumi/aws`, so that they show up as what they are in any
 * tool that reads the state. Loaded only when chosen, and resource by resource: the whole package takes seconds.
 *
 * A bucket that exists is used as it is, unless its tag says that this stack made it. The tag lies on the bucket, so
 * the answer is the same on every computer, and after a destroy, which keeps the bucket: then it is imported again.
 */
import { AccessKey } from "@pulumi/aws/iam/accessKey.js";
import { User } from "@pulumi/aws/iam/user.js";
import { UserPolicy } from "@pulumi/aws/iam/userPolicy.js";
import { Provider } from "@pulumi/aws/provider.js";
import { Bucket } from "@pulumi/aws/s3/bucket.js";
import { BucketLifecycleConfiguration } from "@pulumi/aws/s3/bucketLifecycleConfiguration.js";
import { BucketPolicy } from "@pulumi/aws/s3/bucketPolicy.js";
import { BucketPublicAccessBlock } from "@pulumi/aws/s3/bucketPublicAccessBlock.js";
import { BucketServerSideEncryptionConfiguration } from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration.js";
import { BucketVersioning } from "@pulumi/aws/s3/bucketVersioning.js";
import * as pulumi from "@pulumi/pulumi";
import { type Owner, TAG } from "./aws-owner.ts";
import { runPolicy, tlsOnlyPolicy } from "./policy.ts";

export interface AwsBucketArgs {
  bucket: string;
  prefix: string;
  region: string;
  /** An AWS profile, where `.env` names one. */
  profile: string | null;
  /** Value of the tag that says whose the bucket is. */
  mark: string;
  owner: Owner;
  oldVersionDays: number;
}

/** Bucket, its settings, and a user whose key reaches one prefix of it. */
export class AwsBucket extends pulumi.ComponentResource {
  readonly bucket: pulumi.Output<string>;
  /** Under the names of VASTLANE_RUN_...; secret. */
  readonly runKeys: pulumi.Output<Record<string, string>>;

  constructor(name: string, args: AwsBucketArgs, options?: pulumi.ComponentResourceOptions) {
    super("vastlane:storage:AwsBucket", name, {}, options);
    const { region, profile } = args;
    const provider = new Provider(`${name}-aws`, { region, ...(profile && { profile }) }, { parent: this });
    const inside = { parent: this, provider };
    this.bucket = args.owner === "other" ? pulumi.output(args.bucket) : makeBucket(name, args, inside);
    this.runKeys = makeRunKeys(name, args, inside);
    this.registerOutputs({ bucket: this.bucket });
  }
}

function makeBucket(name: string, args: AwsBucketArgs, inside: pulumi.CustomResourceOptions): pulumi.Output<string> {
  // Data outlives machines, and its safety too: without their resources, versioning would be suspended on destroy.
  // Not `protect`, which would stop a destroy and keep machines billing.
  const kept = { ...inside, retainOnDelete: true };
  const made = new Bucket(
    name,
    { bucket: args.bucket, tags: { [TAG]: args.mark } },
    // Of no effect while it is in the state; after a destroy it takes the kept bucket back.
    args.owner === "ours" ? { ...kept, import: args.bucket, ignoreChanges: ["forceDestroy", "tagsAll"] } : kept,
  );
  const bucket = made.bucket;
  const versioning = new BucketVersioning(
    `${name}-versioning`,
    { bucket, versioningConfiguration: { status: "Enabled" } },
    kept,
  );
  const block = new BucketPublicAccessBlock(
    `${name}-public-access`,
    {
      bucket,
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    },
    kept,
  );
  new BucketServerSideEncryptionConfiguration(
    `${name}-encryption`,
    { bucket, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
    kept,
  );
  new BucketPolicy(
    `${name}-tls-only`,
    { bucket, policy: JSON.stringify(tlsOnlyPolicy(args.bucket, args.region)) },
    // S3 refuses two changes of a bucket's access at a time.
    { ...kept, dependsOn: [block] },
  );
  new BucketLifecycleConfiguration(
    `${name}-lifecycle`,
    {
      bucket,
      rules: [
        {
          id: "vastlane",
          status: "Enabled",
          filter: { prefix: "" },
          abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
          noncurrentVersionExpiration: { noncurrentDays: args.oldVersionDays },
          expiration: { expiredObjectDeleteMarker: true },
        },
      ],
    },
    { ...kept, dependsOn: [versioning] },
  );
  // Who waits for the bucket waits for what makes it safe.
  return pulumi.all([bucket, versioning.id, block.id]).apply(([it]) => it);
}

function makeRunKeys(name: string, args: AwsBucketArgs, inside: pulumi.CustomResourceOptions) {
  const user = new User(`${name}-run`, { path: "/vastlane/", tags: { [TAG]: args.mark }, forceDestroy: true }, inside);
  new UserPolicy(`${name}-run`, { user: user.name, policy: JSON.stringify(runPolicy(args)) }, inside);
  const key = new AccessKey(`${name}-run`, { user: user.name }, inside);
  return pulumi.secret(
    pulumi.all([key.id, key.secret]).apply(
      ([id, secret]): Record<string, string> => ({
        VASTLANE_RUN_ACCESS_KEY_ID: id,
        VASTLANE_RUN_SECRET_ACCESS_KEY: secret,
      }),
    ),
  );
}
