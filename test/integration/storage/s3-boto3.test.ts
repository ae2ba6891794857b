/**
 * Python's boto3 as a stranger's client of the emulated store: it signs, transfers and parses in its own way, also
 * beside a run that is on.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAgentMachine } from "../../helpers/agent-machine.ts";
import { pythonVenv } from "../../helpers/python.ts";
import { clientOf, type EmulatedTestS3, startEmulatedS3 } from "../../helpers/s3.ts";

const python = await pythonVenv();
const title = python.ok ? "boto3" : `boto3 [skipped: ${python.why}]`;
const Bucket = "boto";

/** A client `s3` for the store in the environment, and a word to answer with. */
const HEAD = `
import boto3, hashlib, io, json, os, sys, urllib.request
from botocore.config import Config
from botocore.exceptions import ClientError
def client(**more):
    return boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], config=Config(retries={"max_attempts": 1}, **more))
s3 = client()
bucket = "${Bucket}"
def answer(value): print(json.dumps(value))
sha = lambda data: hashlib.sha256(data).hexdigest()
`;

describe.skipIf(!python.ok)(title, () => {
  let store: EmulatedTestS3;
  let s3: S3Client;

  /** What a Python text answers. */
  async function ask(text: string, ...args: string[]): Promise<unknown> {
    if (!python.ok) throw new Error(python.why);
    const { stdout } = await execa(python.program("python"), ["-c", HEAD + text, ...args], {
      env: {
        ENDPOINT: store.endpoint,
        AWS_ACCESS_KEY_ID: store.accessKeyId,
        AWS_SECRET_ACCESS_KEY: store.secretAccessKey,
        AWS_DEFAULT_REGION: store.region,
        AWS_CONFIG_FILE: "/dev/null",
        NO_PROXY: "*",
      },
    });
    return JSON.parse(stdout);
  }

  beforeAll(async () => {
    store = await startEmulatedS3();
    s3 = clientOf(store);
    await s3.send(new CreateBucketCommand({ Bucket }));
  });
  afterAll(async () => {
    s3?.destroy();
    await store?.stop();
  });

  test("puts and gets, with its default checksums, text in metadata and any key", async () => {
    const key = "a b/ünï+日本&=%20";
    const got = await ask(
      `
s3.put_object(Bucket=bucket, Key=sys.argv[1], Body=b"text", Metadata={"who": "me"}, ContentType="text/own")
got = s3.get_object(Bucket=bucket, Key=sys.argv[1], ChecksumMode="ENABLED")
answer([got["Body"].read().decode(), got["Metadata"], got["ContentType"], "ChecksumCRC32" in got or "ChecksumCRC64NVME" in got])
`,
      key,
    );
    expect(got).toEqual(["text", { who: "me" }, "text/own", true]);
    expect(await (await s3.send(new GetObjectCommand({ Bucket, Key: key }))).Body?.transformToString()).toBe("text");
  });

  test("lists page by page and folder by folder", async () => {
    const keys = ["l/1/a", "l/1/b", "l/2/a", "l/c", "l/d"];
    for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket, Key, Body: "x" }));
    const got = await ask(`
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="l/", PaginationConfig={"PageSize": 2})
flat = [one["Key"] for page in pages for one in page["Contents"]]
one = s3.list_objects_v2(Bucket=bucket, Prefix="l/", Delimiter="/")
old = s3.list_objects(Bucket=bucket, Prefix="l/", MaxKeys=3)
answer([flat, [p["Prefix"] for p in one["CommonPrefixes"]], [o["Key"] for o in one["Contents"]], old["IsTruncated"]])
`);
    expect(got).toEqual([keys, ["l/1/", "l/2/"], ["l/c", "l/d"], true]);
  });

  test("reads a range, and by a presigned URL without any key", async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: "ten", Body: "0123456789" }));
    const got = await ask(`
part = s3.get_object(Bucket=bucket, Key="ten", Range="bytes=2-4")
signer = client(signature_version="s3v4")
def fetch(request):
    with urllib.request.urlopen(request) as reply: return reply.read().decode()
get = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "ten"}, ExpiresIn=60)
put = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "by url"}, ExpiresIn=60)
fetch(urllib.request.Request(put, data=b"written", method="PUT"))
answer([part["Body"].read().decode(), part["ContentRange"], fetch(get),
        fetch(urllib.request.Request(get, headers={"Range": "bytes=-3"})),
        s3.get_object(Bucket=bucket, Key="by url")["Body"].read().decode()])
`);
    expect(got).toEqual(["234", "bytes 2-4/10", "0123456789", "789", "written"]);
  });

  test("sends and fetches a large file in parts, several at a time", async () => {
    const got = await ask(`
from boto3.s3.transfer import TransferConfig
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
data = os.urandom((16 << 20) + 3)
s3.upload_fileobj(io.BytesIO(data), bucket, "large", Config=config)
back = io.BytesIO()
s3.download_fileobj(bucket, "large", back, Config=config)
head = s3.head_object(Bucket=bucket, Key="large")
answer([sha(data), sha(back.getvalue()), head["ContentLength"], head["ETag"].strip('"').split("-")[1]])
`);
    const [sent, back, size, parts] = got as [string, string, number, string];
    expect([back, size, parts]).toEqual([sent, (16 << 20) + 3, "4"]);
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "large" }));
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(sent);
  });

  test("gives an upload up, copies, tags and deletes many", async () => {
    const got = await ask(`
up = s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
s3.upload_part(Bucket=bucket, Key="gone", UploadId=up, PartNumber=1, Body=b"x")
open_before = len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
s3.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=up)
open_after = len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
for n in range(3): s3.put_object(Bucket=bucket, Key=f"m/{n}", Body=b"x")
s3.copy_object(Bucket=bucket, Key="m/copy", CopySource={"Bucket": bucket, "Key": "m/0"})
s3.put_object_tagging(Bucket=bucket, Key="m/copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
tags = s3.get_object_tagging(Bucket=bucket, Key="m/copy")["TagSet"]
gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"m/{n}"} for n in range(3)]})
left = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="m/")["Contents"]]
answer([open_before, open_after, tags, len(gone["Deleted"]), left])
`);
    expect(got).toEqual([1, 0, [{ Key: "a", Value: "b" }], 3, ["m/copy"]]);
  });

  test("understands what it is refused", async () => {
    const got = await ask(`
def refused(**args):
    try: s3.put_object(Bucket=bucket, Key="once", **args); return "done"
    except ClientError as error: return error.response["Error"]["Code"]
answer([refused(Body=b"1", IfNoneMatch="*"), refused(Body=b"2", IfNoneMatch="*"), refused(Body=b"3", IfMatch='"0"')])
`);
    expect(got).toEqual(["done", "PreconditionFailed", "PreconditionFailed"]);
  });

  test("lists and fetches the checkpoints of a run that is on, with the run's keys, which reach nothing else", async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: "ck/prod/secret", Body: "x" }));
    const keys = store.s3.keyFor(Bucket, "ck/dev/train");
    const { endpoint, region } = store;
    const access = { endpoint, region, ...keys, bucket: Bucket, prefix: "ck/dev/train", pathStyle: true };
    const machine = await makeAgentMachine();
    try {
      writeFileSync(machine.workspace.files.store, JSON.stringify(access));
      machine.setRun({
        runId: "dev/train",
        codeHash: "c",
        paramsHash: "p",
        contractId: 1,
        command: machine.script(JOB),
      });
      await machine.start();
      const got = await ask(FETCH_NEWEST, keys.accessKeyId, keys.secretAccessKey).catch((error) => {
        throw new Error(machine.agentLog(), { cause: error });
      });
      expect(got).toEqual([true, "OK", ["AccessDenied", "AccessDenied", "AccessDenied", "AccessDenied"]]);
      expect(machine.heartbeat().state).toBe("running");
    } finally {
      await machine.end();
    }
  });
});

/** Publishes a checkpoint after the other, each by renaming a finished folder. */
const JOB = `
step=0
while true; do
  step=$((step + 1))
  mkdir -p "$VASTLANE_CHECKPOINT_DIR/.tmp-$step"
  head -c 300000 /dev/urandom > "$VASTLANE_CHECKPOINT_DIR/.tmp-$step/model.bin"
  mv "$VASTLANE_CHECKPOINT_DIR/.tmp-$step" "$VASTLANE_CHECKPOINT_DIR/step-$step"
  sleep 0.3
done
`;

/** Waits for the second checkpoint of the run, fetches it and looks whether it is whole, as a person would. */
const FETCH_NEWEST = `
import subprocess, tempfile, time
run = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], aws_access_key_id=sys.argv[1], aws_secret_access_key=sys.argv[2])
below = "ck/dev/train/checkpoints/"
def finished():
    found = run.list_objects_v2(Bucket=bucket, Prefix=below).get("Contents", [])
    return sorted(one["Key"][:-len("manifest.json")] for one in found if one["Key"].endswith("/manifest.json"))
end = time.time() + 30
while len(finished()) < 2 and time.time() < end: time.sleep(0.2)
newest = finished()[-1]
with tempfile.TemporaryDirectory() as folder:
    for one in run.list_objects_v2(Bucket=bucket, Prefix=newest)["Contents"]:
        run.download_file(bucket, one["Key"], os.path.join(folder, os.path.basename(one["Key"])))
    files = sorted(os.listdir(folder))
    seen = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True).stdout
def refused(act):
    try: act(); return "done"
    except ClientError as error: return error.response["Error"]["Code"]
answer(["model.bin" in files, seen.strip().split(": ")[-1], [
    refused(lambda: run.get_object(Bucket=bucket, Key="ck/prod/secret")),
    refused(lambda: run.list_objects_v2(Bucket=bucket, Prefix="ck/")),
    refused(lambda: run.list_buckets()),
    refused(lambda: run.delete_object(Bucket=bucket, Key=newest + "manifest.json", VersionId="null")),
]])
`;
