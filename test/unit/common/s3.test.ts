import { afterEach, expect, test } from "vitest";
import { createS3, type S3Access, type S3Tuning } from "../../../common/s3.ts";

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const client of open.splice(0)) client.destroy();
});

async function client(access: S3Access, tuning: S3Tuning = {}) {
  const s3 = await createS3(access, { env: {}, ...tuning });
  open.push(s3);
  return s3;
}

test.each<[string, S3Access, NodeJS.ProcessEnv, string]>([
  [
    "as it is named",
    { endpoint: "http://127.0.0.1:9000", region: "eu-west-1" },
    { AWS_REGION: "us-west-2" },
    "eu-west-1",
  ],
  ["of the environment", {}, { AWS_REGION: "us-west-2" }, "us-west-2"],
  ["of the environment's older name", {}, { AWS_DEFAULT_REGION: "us-west-2" }, "us-west-2"],
  ["us-east-1 for an endpoint without one", { endpoint: "http://127.0.0.1:9000" }, {}, "us-east-1"],
])("the region is %s", async (_what, access, env, region) => {
  expect(await (await client(access, { env })).config.region()).toBe(region);
});

test.each<[S3Access, boolean]>([
  [{ endpoint: "http://127.0.0.1:9000" }, true],
  [{ endpoint: "https://account.r2.cloudflarestorage.com" }, true],
  [{ endpoint: "https://s3.eu-west-1.amazonaws.com" }, false],
  [{ region: "eu-west-1" }, false],
  [{ endpoint: "http://127.0.0.1:9000", pathStyle: false }, false],
])("buckets of %j are part of the path: %s", async (access, isPath) => {
  expect((await client(access)).config.forcePathStyle).toBe(isPath);
});

test("keys that are given are used, with their token", async () => {
  const keys = { accessKeyId: "id", secretAccessKey: "secret", sessionToken: "token" };
  const s3 = await client({ endpoint: "http://127.0.0.1:9000", ...keys });
  expect(await s3.config.credentials()).toMatchObject(keys);
});

test("checksums are sent only where S3 asks for them, and requests end", async () => {
  const s3 = await client({ endpoint: "http://127.0.0.1:9000" }, { attempts: 1 });
  expect(await s3.config.requestChecksumCalculation()).toBe("WHEN_REQUIRED");
  expect(await s3.config.maxAttempts()).toBe(1);
});
