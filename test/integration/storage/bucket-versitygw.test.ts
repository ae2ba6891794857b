/** The bucket's handlers against versitygw, which has no lifecycle, encryption and public access block: real 501s. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetBucketVersioningCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BucketInputs, bucketHandlers } from "../../../infra/storage/bucket-handlers.ts";
import { clientOf, startVersitygw, type TestS3 } from "../../helpers/s3.ts";

let gateway: TestS3 | { skip: string };
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-gateway-"));
  gateway = await startVersitygw();
}, 620_000);
afterAll(async () => {
  if ("stop" in gateway) await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("a bucket on a store with few settings is made, with those that it has, and the others are named", async (context) => {
  if ("skip" in gateway) return context.skip(gateway.skip);
  const { endpoint, accessKeyId, secretAccessKey } = gateway;
  const env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  const handlers = bucketHandlers({ root: folder, stateDir: folder, env });
  const inputs: BucketInputs = {
    stack: "t",
    market: "vast",
    bucket: "my-bucket",
    endpoint,
    region: null,
    oldVersionDays: 30,
  };
  const { outs } = await handlers.create(inputs);
  expect(outs.settings).toEqual({
    versioning: "on",
    "public access block": "unsupported",
    encryption: "unsupported",
    "TLS-only policy": "unsupported",
    lifecycle: "unsupported",
  });
  expect(outs.lacks).toEqual([
    "bucket my-bucket: the endpoint does not support public access block, encryption, lifecycle",
  ]);
  const client = clientOf(gateway);
  expect((await client.send(new GetBucketVersioningCommand({ Bucket: "my-bucket" }))).Status).toBe("Enabled");
  client.destroy();
  expect(await handlers.diff("", outs, inputs)).toMatchObject({ changes: false });
  expect(await handlers.read("id", outs)).toEqual({ id: "id", props: outs });
  const wrong = bucketHandlers({ root: folder, stateDir: folder, env: { ...env, AWS_SECRET_ACCESS_KEY: "wrong" } });
  await expect(wrong.create(inputs)).rejects.toMatchObject({ code: "VL_STORE_DENIED" });
});
