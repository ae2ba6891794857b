/**
 * A stack with a checkpoint store under the real engine: what unit tests cannot show is what ends up in the state and on
 * the machine, and that the store is asked before anything is rented. The store is moto's server.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GetBucketVersioningCommand, GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect } from "vitest";
import type { RunRecord } from "../../../common/run-record.ts";
import { createS3 } from "../../../common/s3.ts";
import { engineTest as test } from "../../helpers/engine-test.ts";
import { type Moto, startMoto } from "../../helpers/moto.ts";
import { type Finished, makeProject, type TestProject } from "../../helpers/project.ts";

const BUCKET = "vl-checkpoints";
const RECORD = "ck/test/train/run.json";
const SECRET = "wJalrXUtnFEMI-an-own-secret-of-the-person";
/** moto takes any keys; these can be searched for. */
const KEYS = { AWS_ACCESS_KEY_ID: "AKIAPERSONSOWNKEY000", AWS_SECRET_ACCESS_KEY: SECRET };

let project: TestProject;
let moto: Moto;
let client: S3Client;
let skip: string | undefined;

beforeAll(async () => {
  const started = await startMoto();
  if ("skip" in started) {
    skip = started.skip;
    return;
  }
  moto = started;
  client = await createS3({ endpoint: moto.endpoint, accessKeyId: "a", secretAccessKey: "b" });
  project = await makeProject();
  writeFileSync(join(project.root, "train.sh"), "sleep 1000\n");
}, 320_000);
afterAll(async () => {
  client?.destroy();
  await moto?.stop();
  await project?.dispose();
});
beforeEach(({ skip: skipTest }) => {
  if (skip) skipTest(skip);
});

function configure(over: { checkpoint?: object; experiment?: object } = {}): void {
  const checkpoint = { store: "s3", s3_bucket: BUCKET, s3_prefix: "ck", endpoint: moto.endpoint, ...over.checkpoint };
  project.configure({ checkpoint, experiment: { command: ["sh", "train.sh"], ...over.experiment } });
}

const vastlane = (...args: string[]): Promise<Finished> => project.vastlane(args, KEYS);

async function ok(run: Promise<Finished>): Promise<string> {
  const { code, stdout, stderr } = await run;
  expect(code, stdout + stderr).toBe(0);
  return stdout + stderr;
}

async function putRecord(changes: Partial<RunRecord>): Promise<void> {
  const record: RunRecord = {
    format: 1,
    runId: "test/train",
    status: "running",
    generation: 0,
    epoch: 1,
    codeHash: "",
    paramsHash: "",
    params: {},
    spentUsd: 0.5,
    startedAt: "2026-11-24T08:00:00.000Z",
    updatedAt: "2026-11-24T09:00:00.000Z",
    finishedAt: null,
    finalStep: null,
    reason: null,
    writeId: "w",
    ...changes,
  };
  await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: RECORD, Body: JSON.stringify(record) }));
}

async function getRecord(): Promise<RunRecord> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: RECORD }));
  return JSON.parse((await Body?.transformToString()) ?? "");
}

/** What the run's record would hold if the project as it is had been deployed. */
async function deployedHashes(): Promise<Pick<RunRecord, "codeHash" | "paramsHash">> {
  const run = JSON.parse(await ok(project.vastlane(["ssh", "--", "cat /workspace/.vastlane/run.json"])));
  return { codeHash: run.codeHash, paramsHash: run.paramsHash };
}

describe("a run with a store", () => {
  let hashes: Pick<RunRecord, "codeHash" | "paramsHash">;

  test("gets its bucket first, then its machine, and the machine the way into the store", async () => {
    configure();
    const preview = await ok(vastlane("preview"));
    expect(preview).toMatch(/main: would rent 1x RTX/);
    const said = await ok(vastlane("up"));
    expect(said.indexOf("made the bucket")).toBeGreaterThan(-1);
    expect(said.indexOf("made the bucket")).toBeLessThan(said.indexOf("renting"));
    expect(said).toContain("the machine gets your own keys for vl-checkpoints");
    expect(said).toContain('"Sid":"KeepVersions"');
    expect((await client.send(new GetBucketVersioningCommand({ Bucket: BUCKET }))).Status).toBe("Enabled");
    const file = await ok(
      project.vastlane(["ssh", "--", "cd /workspace/.vastlane && stat -c %a store.json && cat store.json"]),
    );
    expect(file.startsWith("600\n")).toBe(true);
    expect(JSON.parse(file.slice(4))).toEqual({
      endpoint: moto.endpoint,
      region: "us-east-1",
      bucket: BUCKET,
      prefix: "ck/test/train",
      accessKeyId: KEYS.AWS_ACCESS_KEY_ID,
      secretAccessKey: SECRET,
      sessionToken: null,
      pathStyle: null,
      emulated: false,
    });
    hashes = await deployedHashes();
    expect(hashes.codeHash).toMatch(/^[0-9a-f]{64}$/);
  });

  test("leaves no key in the state, in plain text or as a secret, nor in logs or in what commands see", async () => {
    const state = await ok(project.pulumi(["stack", "export", "--show-secrets"]));
    expect(state).toContain("vastlane:Bucket");
    for (const key of Object.values(KEYS)) expect(state).not.toContain(key);
    const log = await ok(
      project.vastlane([
        "ssh",
        "--",
        "cat /workspace/logs/* /workspace/.vastlane/env; env; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ",
      ]),
    );
    for (const key of Object.values(KEYS)) expect(log).not.toContain(key);
    const files = readdirSync(join(project.root, ".vastlane"), { recursive: true, withFileTypes: true })
      // The machine's own disk is the one place where they belong.
      .filter((it) => it.isFile() && !it.parentPath.includes("/emulator/machines/"))
      .map((it) => join(it.parentPath, it.name));
    expect(files.some((it) => it.endsWith("log/test.log"))).toBe(true);
    expect(files.filter((it) => readFileSync(it, "latin1").includes(SECRET))).toEqual([]);
  });

  test("an unchanged up changes nothing", async () => {
    const up = await ok(project.pulumi(["up", "--yes", "--skip-preview"], KEYS));
    expect(up).toMatch(/\d+ unchanged/);
    expect(up).not.toMatch(/updated|created|replaced/);
  });

  test("a store that is down stops an up before anything is touched", async () => {
    configure({ checkpoint: { endpoint: "http://127.0.0.1:9" } });
    const { code, stderr } = await vastlane("up");
    expect(code).toBe(1);
    expect(stderr).toContain("VL_STORE_DOWN: The store at http://127.0.0.1:9 cannot be reached");
    expect(stderr).toContain("nothing was rented, changed or ended");
    const raw = await project.pulumi(["up", "--yes", "--skip-preview"], KEYS);
    expect(raw.code).not.toBe(0);
    expect(raw.stdout + raw.stderr).toContain("VL_STORE_DOWN");
    expect(await project.alive()).toHaveLength(1);
  });

  test("a run that has ended ends its machine at the next up, and is not rented again", async () => {
    configure();
    await putRecord({ ...hashes, status: "done", finalStep: 400, finishedAt: "2026-11-24T09:00:00.000Z" });
    const preview = await ok(vastlane("preview"));
    expect(preview).toContain(
      "run test/train is not rented again: it is done at step 400 (2026-11-24). Anew: vastlane up --fresh --stack test; to go on from its last checkpoint: --resume",
    );
    expect(preview).toMatch(/ENDS after a last checkpoint/);
    expect(await project.alive()).toHaveLength(1);
    const said = await ok(vastlane("up"));
    expect(said).toContain("Nothing is rented for run test/train: it is done at step 400 (2026-11-24)");
    expect(await project.alive()).toEqual([]);
    await ok(vastlane("up"));
    await ok(project.pulumi(["up", "--yes", "--skip-preview"], KEYS));
    expect(await project.alive()).toEqual([]);
    const outputs = JSON.parse(await ok(project.pulumi(["stack", "output", "--json"])));
    expect(outputs).toMatchObject({ runId: "test/train", runStatus: "it is done at step 400 (2026-11-24)" });
  });

  test("changed code is refused where the configuration says so, and nothing is rented", async () => {
    await putRecord({ ...hashes, codeHash: "other", status: "running" });
    configure({ experiment: { onCodeChange: "refuse" } });
    const { code, stderr } = await vastlane("up");
    expect(code).toBe(1);
    expect(stderr).toContain("VL_RUN_REFUSED: The run test/train is not started.");
    expect(stderr).toContain("the code has changed and onCodeChange is refuse");
    expect(await project.alive()).toEqual([]);
  });

  test("up --fresh begins an ended run anew: the record says so before the machine is rented", async () => {
    configure();
    await putRecord({ ...hashes, status: "over-budget", generation: 2 });
    await ok(vastlane("up", "--fresh"));
    expect(await getRecord()).toMatchObject({ status: "fresh", generation: 2, epoch: 1, spentUsd: 0.5 });
    expect(await project.alive()).toHaveLength(1);
    const run = await ok(project.vastlane(["ssh", "--", "cat /workspace/.vastlane/run.json"]));
    expect(JSON.parse(run)).toMatchObject({ generation: 3 });
  });

  test("destroy keeps the bucket, names it with its command, and needs no store", async () => {
    const said = await ok(vastlane("destroy"));
    expect(said).toContain(
      `Kept: bucket ${BUCKET} at ${moto.endpoint} with this stack's checkpoints below ck/test/ (1 objects).`,
    );
    expect(said).toContain(
      `To remove them: aws s3 rm s3://${BUCKET}/ck/test/ --recursive --endpoint-url ${moto.endpoint}`,
    );
    expect(await getRecord()).toMatchObject({ runId: "test/train" });
    expect(await project.alive()).toEqual([]);
  });
});

test("destroy ends everything while the store is away", async () => {
  configure({ experiment: { command: ["sh", "train.sh"], params: { n: 2 } } });
  await ok(vastlane("up"));
  expect(await project.alive()).toHaveLength(1);
  configure({ checkpoint: { endpoint: "http://127.0.0.1:9" } });
  const said = await ok(vastlane("destroy"));
  expect(said).toContain("not counted: it does not answer now");
  expect(await project.alive()).toEqual([]);
});
