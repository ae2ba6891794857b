/** What a destroy leaves in the store on purpose: named, counted where that is cheap, with the command that empties it. */
import { createS3, loadS3 } from "../../common/s3.ts";
import { storeCodeOf } from "../../common/store-errors.ts";
import { shellQuote } from "../shell-quote.ts";
import { type Store, s3AccessOf } from "./access.ts";
import { joinKey } from "./names.ts";

export interface Kept {
  bucket: string;
  endpoint: string | null;
  isEmulated: boolean;
  /** Where this stack's keys begin, with a slash at the end. */
  prefix: string;
  /** Null: could not be counted in time, or the store does not answer. */
  objects: number | null;
  /** There are more than that. */
  isMore: boolean;
}

const PATIENCE_MS = 4000;
const PAGES = 5;

/** Undefined: there is no such bucket, so nothing is kept. Never throws: a destroy does not need the store. */
export async function lookAtKept(store: Store, stack: string): Promise<Kept | undefined> {
  const { bucket, endpoint, isEmulated } = store;
  const prefix = `${joinKey(store.prefix, stack)}/`;
  const kept = { bucket, endpoint, isEmulated, prefix };
  const client = await createS3(s3AccessOf(store), { attempts: 1, requestMs: PATIENCE_MS, connectMs: 2000 });
  try {
    const { ListObjectsV2Command } = await loadS3();
    const abortSignal = AbortSignal.timeout(PATIENCE_MS);
    let objects = 0;
    let token: string | undefined;
    for (let page = 0; page < PAGES; page++) {
      const input = { Bucket: bucket, Prefix: prefix, ...(token !== undefined && { ContinuationToken: token }) };
      const found = await client.send(new ListObjectsV2Command(input), { abortSignal });
      objects += found.KeyCount ?? found.Contents?.length ?? 0;
      token = found.IsTruncated ? found.NextContinuationToken : undefined;
      if (token === undefined) break;
    }
    return { ...kept, objects, isMore: token !== undefined };
  } catch (error) {
    if (storeCodeOf(error) === "NoSuchBucket") return undefined;
    return { ...kept, objects: null, isMore: false };
  } finally {
    client.destroy();
  }
}

/** For people: what is kept, and the command that removes it. */
export function describeKept({ bucket, endpoint, isEmulated, prefix, objects, isMore }: Kept): string[] {
  const at = endpoint === null ? "" : ` at ${endpoint}`;
  const count = objects === null ? "not counted: it does not answer now" : `${objects}${isMore ? "+" : ""} objects`;
  const to = endpoint === null ? "" : ` --endpoint-url ${endpoint}`;
  return [
    `Kept: bucket ${bucket}${at} with this stack's checkpoints below ${prefix} (${count}).`,
    `  To remove them: aws s3 rm ${shellQuote(`s3://${bucket}/${prefix}`)} --recursive${to}`,
    ...(isEmulated ? ["  (with the keys that `vastlane emulator start --json` prints)"] : []),
  ];
}
