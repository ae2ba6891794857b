/**
 * The bucket's handlers against moto's server, which has every setting of S3: what fakes cannot show is that a real
 * server takes our requests and gives back what was set.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateBucketCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetPublicAccessBlockCommand,
  PutBucketTaggingCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { checkStores } from "../../../cli/doctor/store-check.ts";
import { createS3 } from "../../../common/s3.ts";
import { Secret } from "../../../common/secret.ts";
import type { Store } from "../../../infra/storage/access.ts";
import { ownerOf } from "../../../infra/storage/aws-owner.ts";
import { type BucketInputs, type BucketState, bucketHandlers } from "../../../infra/storage/bucket-handlers.ts";
import { applySettings, readSettings } from "../../../infra/storage/settings.ts";
import { type Moto, startMoto } from "../../helpers/moto.ts";

let moto: Moto;
let client: S3Client;
let skip: string | undefined;
let stateDir: string;
let count = 0;

beforeAll(async () => {
  const started = await startMoto();
  if ("skip" in started) {
    skip = started.skip;
    return;
  }
  moto = started;
  client = await createS3({ endpoint: moto.endpoint, accessKeyId: "test", secretAccessKey: "test" });
}, 320_000);
afterAll(async () => {
  client?.destroy();
  await moto?.stop();
});
beforeEach(({ skip: skipTest }) => {
  if (skip) skipTest(skip);
  stateDir = mkdtempSync(join(tmpdir(), "vastlane-bucket-"));
  return () => rmSync(stateDir, { recursive: true, force: true });
});

function inputs(over: Partial<BucketInputs> = {}): BucketInputs {
  const bucket = `bucket-${++count}`;
  return { stack: "t", market: "vast", bucket, endpoint: moto.endpoint, region: null, oldVersionDays: 30, ...over };
}

const handlers = (env: NodeJS.ProcessEnv = moto.env) => bucketHandlers({ root: stateDir, stateDir, env });
const place = (bucket: string) => ({
  bucket,
  region: "us-east-1",
  isAws: true,
  isTls: true,
  oldVersionDays: 30,
});

describe("a bucket that is not there", () => {
  test("is made, with every setting as the server gives it back", async () => {
    const wanted = inputs();
    const { id, outs } = await handlers().create(wanted);
    expect(id).toBe(wanted.bucket);
    // Over plain HTTP, where moto listens, a TLS-only policy would lock everybody out.
    expect(outs).toEqual({
      ...wanted,
      schemaVersion: 1,
      created: true,
      settings: {
        versioning: "on",
        "public access block": "on",
        encryption: "on",
        "TLS-only policy": "unsupported",
        lifecycle: "on",
      },
      lacks: [],
    });
    await applySettings(client, place(wanted.bucket));
    const Bucket = wanted.bucket;
    expect((await client.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBe("Enabled");
    const { PublicAccessBlockConfiguration: block } = await client.send(new GetPublicAccessBlockCommand({ Bucket }));
    expect(block).toEqual({
      BlockPublicAcls: true,
      IgnorePublicAcls: true,
      BlockPublicPolicy: true,
      RestrictPublicBuckets: true,
    });
    const { ServerSideEncryptionConfiguration: encryption } = await client.send(
      new GetBucketEncryptionCommand({ Bucket }),
    );
    expect(encryption?.Rules?.[0]?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm).toBe("AES256");
    const { Rules } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }));
    expect(Rules).toMatchObject([
      {
        Status: "Enabled",
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
        NoncurrentVersionExpiration: { NoncurrentDays: 30 },
      },
    ]);
    const { Policy = "" } = await client.send(new GetBucketPolicyCommand({ Bucket }));
    expect(JSON.parse(Policy).Statement).toMatchObject([
      { Effect: "Deny", Principal: "*", Action: "s3:*", Condition: { Bool: { "aws:SecureTransport": "false" } } },
      { Effect: "Deny", Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } } },
    ]);
    expect(await readSettings(client, place(Bucket))).toEqual({
      versioning: "on",
      "public access block": "on",
      encryption: "on",
      "TLS-only policy": "on",
      lifecycle: "on",
    });
  });

  test("is made in the region that is configured", async () => {
    const wanted = inputs({ region: "eu-central-1" });
    await handlers().create(wanted);
    const { LocationConstraint } = await client.send(new GetBucketLocationCommand({ Bucket: wanted.bucket }));
    expect(LocationConstraint).toBe("eu-central-1");
  });
});

describe("a bucket that was there", () => {
  test("is used exactly as it is, and what it lacks is named", async () => {
    const wanted = inputs();
    await bucketHandlers({ root: stateDir, stateDir: join(stateDir, "other"), env: moto.env }).create(wanted);
    await client.send(
      new PutBucketVersioningCommand({ Bucket: wanted.bucket, VersioningConfiguration: { Status: "Suspended" } }),
    );
    const { outs } = await handlers().create(wanted);
    expect(outs.created).toBe(false);
    expect(outs.lacks).toEqual([`bucket ${wanted.bucket}: used as it is, without versioning`]);
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: wanted.bucket }));
    expect(Status).toBe("Suspended");
    expect(await handlers().diff("", outs, wanted)).toMatchObject({ changes: false });
    await handlers().update("", outs, { ...wanted, oldVersionDays: 7 });
    expect((await client.send(new GetBucketVersioningCommand({ Bucket: wanted.bucket }))).Status).toBe("Suspended");
  });

  test("counts as ours when a create was killed before Pulumi recorded it", async () => {
    const wanted = inputs();
    await handlers().create(wanted); // and what it returned was lost
    const { outs } = await handlers().create(wanted);
    expect(outs.created).toBe(true);
  });
});

describe("a bucket of ours", () => {
  let state: BucketState;
  let wanted: BucketInputs;
  beforeEach(async () => {
    wanted = inputs();
    state = (await handlers().create(wanted)).outs;
  });

  test("is no difference as long as nothing changes", async () => {
    expect(await handlers().diff("", state, wanted)).toEqual({
      changes: false,
      replaces: [],
      deleteBeforeReplace: false,
    });
    expect(await handlers().read("id", state)).toEqual({ id: "id", props: state });
  });

  test("that somebody opened is seen by a refresh and put right by the next up", async () => {
    const Bucket = wanted.bucket;
    await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Suspended" } }));
    const { props } = (await handlers().read("id", state)) as { props: BucketState };
    expect(props.settings.versioning).toBe("off");
    expect(props.lacks).toEqual([`bucket ${Bucket}: versioning was switched off; the next \`up\` sets it again`]);
    expect((await handlers().diff("", props, wanted)).changes).toBe(true);
    const { outs } = await handlers().update("", props, wanted);
    expect(outs.settings.versioning).toBe("on");
    expect((await client.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBe("Enabled");
  });

  test("keeps old versions for as long as a changed configuration says", async () => {
    const news = { ...wanted, oldVersionDays: 7 };
    expect((await handlers().diff("", state, news)).changes).toBe(true);
    await handlers().update("", state, news);
    const { Rules } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: wanted.bucket }));
    expect(Rules?.[0]?.NoncurrentVersionExpiration?.NoncurrentDays).toBe(7);
  });

  test("is another resource under another name, and the old one stays", async () => {
    expect(await handlers().diff("", state, { ...wanted, bucket: "elsewhere" })).toMatchObject({
      changes: true,
      replaces: ["bucket"],
    });
  });

  test("survives delete with all that is in it", async () => {
    await client.send(new PutObjectCommand({ Bucket: wanted.bucket, Key: "a", Body: "x" }));
    await handlers().delete("id", state);
    expect((await handlers().read("id", state)) as object).toHaveProperty("props");
  });

  test("that the program does not find any more is made again, without a refresh", async () => {
    const news = { ...wanted, isMissing: true };
    expect((await handlers().diff("", state, news)).changes).toBe(true);
    const { outs } = await handlers().update("", state, news);
    expect(outs).toEqual(state);
  });

  test("that is gone is told as gone, and made again by the next up", async () => {
    const gone = { ...state, bucket: "never-made" };
    expect(await handlers().read("id", gone)).toEqual({});
    const { outs } = await handlers().update("", gone, { ...wanted, bucket: "never-made" });
    expect(outs.created).toBe(true);
  });

  test("stays recorded while the store does not answer", async () => {
    const away = { ...state, endpoint: "http://127.0.0.1:9" };
    expect(await handlers().read("id", away)).toEqual({ id: "id", props: away });
  });

  test("puts no key into the state", () => {
    expect(JSON.stringify(state)).not.toMatch(/secret|AccessKey|test"/i);
  });
});

describe("whose an AWS bucket is", () => {
  const mark = "vastlane/dev";
  const storeOf = (bucket: string): Store => ({
    kind: "aws",
    endpoint: moto.endpoint,
    region: "us-east-1",
    bucket,
    prefix: "ck",
    isEmulated: false,
    keys: { accessKeyId: "test", secretAccessKey: new Secret("test"), sessionToken: null },
    profile: null,
    keysFrom: "the test",
  });
  const tagged = (Bucket: string, Value: string) =>
    client.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet: [{ Key: "vastlane", Value }] } }));

  test("is told by its tag, which stays with it", async () => {
    const store = storeOf(inputs().bucket);
    expect(await ownerOf(store, mark)).toBe("nobody");
    await client.send(new CreateBucketCommand({ Bucket: store.bucket }));
    expect(await ownerOf(store, mark)).toBe("other");
    await tagged(store.bucket, "vastlane/prod");
    expect(await ownerOf(store, mark)).toBe("other");
    await tagged(store.bucket, mark);
    expect(await ownerOf(store, mark)).toBe("ours");
  });
});

test("doctor says which stores are there, which will be made, and which are closed", async () => {
  const there = inputs().bucket;
  await client.send(new CreateBucketCommand({ Bucket: there }));
  const stack = (name: string, bucket: string) =>
    writeFileSync(
      join(stateDir, `Pulumi.${name}.yaml`),
      `config: { "vastlane:checkpoint": { store: s3, s3_bucket: ${bucket}, endpoint: "${moto.endpoint}" } }\n`,
    );
  stack("dev", there);
  stack("prod", "never-made-by-anyone");
  const env = moto.env as Record<string, string>;
  expect(await checkStores({ env, root: stateDir })).toEqual({
    state: "ok",
    detail: `dev: s3://${there}/checkpoints at ${moto.endpoint}; prod: s3://never-made-by-anyone/checkpoints at ${moto.endpoint}, which \`up\` will make`,
  });
});
