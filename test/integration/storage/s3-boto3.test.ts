/**
 * Python's boto3 beside a real agent and its run: with the run's keys it fetches a checkpoint and sees that it is
 * whole. What else boto3 does is in test/integration/emulator/s3-clients.test.ts.
 */
import { writeFileSync } from "node:fs";
import { CreateBucketCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
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
import boto3, json, os, sys
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
bucket = "${Bucket}"
def answer(value): print(json.dumps(value))
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
