/**
 * run.json in the store as a person's side reads it, and the one thing that it writes there: that a run begins
 * anew, or goes on although it had ended.
 */
import { randomUUID } from "node:crypto";
import type { S3Client } from "@aws-sdk/client-s3";
import { UserError } from "../../common/errors.ts";
import { parseRunRecord, RUN_RECORD_KEY, type RunRecord } from "../../common/run-record.ts";
import { createS3, loadS3 } from "../../common/s3.ts";
import { statusOf, storeCodeOf, storeErrorOf } from "../../common/store-errors.ts";
import { readStored } from "../../common/stored-json.ts";
import { contextOf, runPrefix, type Store, s3AccessOf } from "./access.ts";
import { closedTo, isClosed } from "./look.ts";
import { joinKey } from "./names.ts";
import { type Got, signedGet } from "./signed-get.ts";

/** A person waits for the answer: no long retries. */
const PATIENCE = { attempts: 4, requestMs: 15_000, connectMs: 4000 };

/**
 * Undefined: the run has no record yet.
 * @throws UserError VL_STORE_*, VL_BUCKET_REFUSED, VL_CHECKPOINT_BAD
 */
export async function readRunRecord(store: Store, runId: string): Promise<RunRecord | "no-bucket" | undefined> {
  const found =
    (await signedGet(store, keyOf(store, runId))) ??
    (await withStore(store, runId, (client, key) => fetchRecord(client, store, key)));
  if (found === "no-key") return undefined;
  return found === "no-bucket" ? found : parseRunRecord(found.body);
}

function keyOf(store: Store, runId: string): string {
  return joinKey(runPrefix(store, runId), RUN_RECORD_KEY);
}

/** What a person may ask of a run: to begin anew ("fresh"), or to go on as it is although it had ended ("running"). */
export type Reopening = "fresh" | "running";

/**
 * Says so in the record; the run's checkpoints stay in the store. False: there is no record, so it begins anew as it
 * is. Safe beside a running agent: each writes only on what it has read.
 * @throws UserError VL_STORE_*; VL_CHECKPOINT_BAD when a newer vastlane wrote it
 */
export async function markRun(store: Store, runId: string, status: Reopening, now: Date): Promise<boolean> {
  return withStore(store, runId, async (client, key) => {
    for (let round = 1; ; round++) {
      const found = await fetchRecord(client, store, key);
      if (typeof found === "string") return false;
      const next = reopened(found.body, runId, status, now.toISOString());
      try {
        await put(client, store, key, JSON.stringify(next), found.etag);
        return true;
      } catch (error) {
        if (statusOf(error) !== 412 && statusOf(error) !== 409) throw error;
        if (round === 10) throw error; // ten others were faster: something is very wrong
      }
    }
  });
}

/** A damaged record is replaced; all that is lost with it is what the run has cost so far. */
function reopened(body: Uint8Array, runId: string, status: Reopening, now: string): RunRecord {
  readStored(RUN_RECORD_KEY, body); // refuses what a newer vastlane wrote
  const mark = { status, updatedAt: now, writeId: randomUUID() };
  try {
    return { ...parseRunRecord(body), ...mark };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const empty = { codeHash: "", paramsHash: "", params: {}, spentUsd: 0, startedAt: now };
    const open = { finishedAt: null, finalStep: null, reason: null };
    return { format: 1, runId, generation: 0, epoch: 0, ...empty, ...open, ...mark };
  }
}

async function withStore<T>(store: Store, runId: string, act: (client: S3Client, key: string) => Promise<T>) {
  const client = await createS3(s3AccessOf(store), PATIENCE);
  try {
    return await act(client, keyOf(store, runId));
  } catch (error) {
    if (isClosed(error)) throw closedTo(store, error);
    throw storeErrorOf(error, contextOf(store, `the record of run ${runId}`));
  } finally {
    client.destroy();
  }
}

async function fetchRecord(client: S3Client, { bucket }: Store, key: string): Promise<Got> {
  const { GetObjectCommand } = await loadS3();
  try {
    const { Body, ETag } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return { body: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag };
  } catch (error) {
    if (storeCodeOf(error) === "NoSuchBucket") return "no-bucket";
    if (storeCodeOf(error) === "NoSuchKey") return "no-key";
    throw error;
  }
}

async function put(client: S3Client, { bucket }: Store, key: string, text: string, etag: string | undefined) {
  const { PutObjectCommand } = await loadS3();
  const send = (condition: { IfMatch?: string | undefined }) =>
    client.send(
      new PutObjectCommand({ Bucket: bucket, Key: key, Body: text, ContentType: "application/json", ...condition }),
    );
  try {
    await send({ IfMatch: etag });
  } catch (error) {
    if (statusOf(error) !== 501) throw error;
    await send({}); // a store without conditional writes
  }
}
