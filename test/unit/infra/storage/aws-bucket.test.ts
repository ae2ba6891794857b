/** `store: aws` through Pulumi's mocks, as its plugin cannot be had everywhere: every setting as it is asked of AWS. */
import * as pulumi from "@pulumi/pulumi";
import { beforeEach, describe, expect, test } from "vitest";
import type { AwsBucketArgs } from "../../../../infra/storage/aws-bucket.ts";

interface Made {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
  provider: string | undefined;
}

let made: Made[];

await pulumi.runtime.setMocks(
  {
    newResource({ type, name, inputs, provider }) {
      made.push({ type, name, inputs, provider });
      const outputs: Record<string, object> = {
        "aws:iam/accessKey:AccessKey": { secret: "the-secret" },
        "aws:iam/user:User": { name: `${name}-1a2b3c4` },
      };
      return {
        id: type === "aws:iam/accessKey:AccessKey" ? "AKIARUN" : `${name}-id`,
        state: { ...inputs, ...outputs[type] },
      };
    },
    call: ({ token }) => {
      throw new Error(`the component calls ${token}`);
    },
  },
  "vastlane",
  "dev",
  false,
);
const { AwsBucket } = await import("../../../../infra/storage/aws-bucket.ts");

const ARGS: AwsBucketArgs = {
  bucket: "my-bucket",
  prefix: "checkpoints/dev",
  region: "eu-central-1",
  profile: null,
  mark: "vastlane/dev",
  owner: "nobody",
  oldVersionDays: 30,
};

beforeEach(() => {
  made = [];
});

/** The options as the component gives them, seen by a transformation: mocks are not shown them. */
async function make(args: Partial<AwsBucketArgs> = {}) {
  const options = new Map<string, pulumi.CustomResourceOptions>();
  const bucket = new AwsBucket(
    "checkpoints",
    { ...ARGS, ...args },
    {
      transformations: [
        ({ type, opts }) => {
          options.set(type, opts as pulumi.CustomResourceOptions);
          return undefined;
        },
      ],
    },
  );
  const [name, keys, isSecret] = await Promise.all([
    settled(bucket.bucket),
    settled(bucket.runKeys),
    pulumi.isSecret(bucket.runKeys),
  ]);
  await new Promise((resolve) => setImmediate(resolve));
  return { name, keys, isSecret, options };
}

const settled = <T>(output: pulumi.Output<T>) =>
  new Promise<T>((resolve) => void output.apply((value) => resolve(value as T)));
const of = (type: string) => made.filter((it) => it.type === type);
const inputsOf = (type: string) => {
  const [only, ...more] = of(type);
  expect(more).toEqual([]);
  return only?.inputs;
};

const SETTINGS = [
  "aws:s3/bucketVersioning:BucketVersioning",
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
  "aws:s3/bucketPolicy:BucketPolicy",
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
];

describe("a bucket that is not there", () => {
  test("is made under its name, in its region, with the tag that says whose it is", async () => {
    const { name } = await make();
    expect(name).toBe("my-bucket");
    expect(inputsOf("aws:s3/bucket:Bucket")).toEqual({ bucket: "my-bucket", tags: { vastlane: "vastlane/dev" } });
    expect(inputsOf("pulumi:providers:aws")).toMatchObject({ region: "eu-central-1" });
    expect(
      made.filter(({ type }) => type.startsWith("aws:")).every(({ provider }) => provider?.includes("checkpoints-aws")),
    ).toBe(true);
  });

  test("keeps every version", async () => {
    await make();
    expect(inputsOf(SETTINGS[0] as string)).toEqual({
      bucket: "my-bucket",
      versioningConfiguration: { status: "Enabled" },
    });
  });

  test("is closed to the public in all four ways", async () => {
    await make();
    expect(inputsOf(SETTINGS[1] as string)).toEqual({
      bucket: "my-bucket",
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    });
  });

  test("encrypts what it keeps", async () => {
    await make();
    expect(inputsOf(SETTINGS[2] as string)).toEqual({
      bucket: "my-bucket",
      rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }],
    });
  });

  test("answers over TLS only", async () => {
    await make();
    const { policy } = inputsOf(SETTINGS[3] as string) as { policy: string };
    const resources = ["arn:aws:s3:::my-bucket", "arn:aws:s3:::my-bucket/*"];
    expect(JSON.parse(policy).Statement).toEqual([
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: resources,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
      {
        Sid: "Tls12OrNewer",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: resources,
        Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } },
      },
    ]);
  });

  test("aborts uploads that were given up after a day, and lets old versions go after thirty", async () => {
    await make();
    expect(inputsOf(SETTINGS[4] as string)).toEqual({
      bucket: "my-bucket",
      rules: [
        {
          id: "vastlane",
          status: "Enabled",
          filter: { prefix: "" },
          abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
          noncurrentVersionExpiration: { noncurrentDays: 30 },
          expiration: { expiredObjectDeleteMarker: true },
        },
      ],
    });
  });

  test("outlives a destroy with its settings, and is never protected, which would stop the destroy", async () => {
    const { options } = await make();
    for (const type of ["aws:s3/bucket:Bucket", ...SETTINGS]) {
      expect([type, options.get(type)?.retainOnDelete, options.get(type)?.protect]).toEqual([type, true, undefined]);
    }
    for (const type of ["aws:iam/user:User", "aws:iam/accessKey:AccessKey"])
      expect(options.get(type)?.retainOnDelete).not.toBe(true);
  });
});

describe("a bucket that is there", () => {
  test("and is not ours is used exactly as it is", async () => {
    const { name, keys } = await make({ owner: "other" });
    expect(name).toBe("my-bucket");
    expect(made.filter(({ type }) => type.startsWith("aws:s3/"))).toEqual([]);
    expect(keys).toHaveProperty("VASTLANE_RUN_ACCESS_KEY_ID");
  });

  test("and is ours is taken back into the state after a destroy, with all settings", async () => {
    const { options } = await make({ owner: "ours" });
    expect(options.get("aws:s3/bucket:Bucket")?.import).toBe("my-bucket");
    for (const type of SETTINGS) expect(of(type)).toHaveLength(1);
  });
});

describe("the run's keys", () => {
  test("are a secret, and those of a user of their own", async () => {
    const { keys, isSecret } = await make();
    expect(isSecret).toBe(true);
    expect(keys).toEqual({ VASTLANE_RUN_ACCESS_KEY_ID: "AKIARUN", VASTLANE_RUN_SECRET_ACCESS_KEY: "the-secret" });
    expect(inputsOf("aws:iam/user:User")).toEqual({
      path: "/vastlane/",
      forceDestroy: true,
      tags: { vastlane: "vastlane/dev" },
    });
    expect(inputsOf("aws:iam/accessKey:AccessKey")).toEqual({ user: "checkpoints-run-1a2b3c4" });
  });

  test("reach one prefix of one bucket, and no version and no setting of it", async () => {
    await make();
    const { policy, user } = inputsOf("aws:iam/userPolicy:UserPolicy") as { policy: string; user: string };
    expect(user).toBe("checkpoints-run-1a2b3c4");
    const { Statement: statements } = JSON.parse(policy) as {
      Statement: { Effect: string; Action: string[]; Resource: string | string[]; Condition?: object }[];
    };
    const allowed = statements.filter(({ Effect }) => Effect === "Allow");
    expect(allowed.map(({ Resource }) => Resource)).toEqual([
      "arn:aws:s3:::my-bucket",
      "arn:aws:s3:::my-bucket/checkpoints/dev/*",
    ]);
    expect(allowed[0]?.Condition).toEqual({
      StringLike: { "s3:prefix": ["checkpoints/dev", "checkpoints/dev/*"] },
    });
    const actions = allowed.flatMap(({ Action }) => Action);
    expect(actions.some((action) => /\*|Version|PutBucket|Policy|Lifecycle/.test(action))).toBe(false);
    expect(statements.filter(({ Effect }) => Effect === "Deny").flatMap(({ Action }) => Action)).toContain(
      "s3:DeleteObjectVersion",
    );
  });

  test("come from the profile that .env names, where it names one", async () => {
    await make({ profile: "work" });
    expect(inputsOf("pulumi:providers:aws")).toMatchObject({ profile: "work" });
  });
});
