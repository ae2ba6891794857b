/** Where a run's store is and how to get in: the file `store.json` on a machine, which deploy writes over SSH. */
import { UserError } from "../../common/errors.ts";
import { readJsonIfThere } from "../../common/files.ts";
import type { S3Access } from "../../common/s3.ts";

/** With keys on a machine; without, on a laptop, AWS's own chain is asked. */
export interface StoreAccess extends S3Access {
  bucket: string;
  /** What all keys of the run begin with, its id included; no slash at either end. "" is the whole bucket. */
  prefix: string;
}

/** Undefined when there is no such file: the run has no store. @throws UserError VL_STORE_NO_KEY when it is spoiled */
export function readStoreAccess(path: string): StoreAccess | undefined {
  let found: unknown;
  try {
    found = readJsonIfThere(path);
  } catch (cause) {
    throw spoiled(path, "it is not JSON", cause);
  }
  if (found === undefined) return undefined;
  const access = found as Partial<StoreAccess>;
  const missing = (["bucket", "prefix", "accessKeyId", "secretAccessKey"] as const).filter(
    (name) => typeof access?.[name] !== "string" || (name !== "prefix" && access[name] === ""),
  );
  if (missing.length > 0) throw spoiled(path, `it has no ${missing.join(", ")}`);
  return access as StoreAccess;
}

function spoiled(path: string, why: string, cause?: unknown): UserError {
  return new UserError("VL_STORE_NO_KEY", {
    what: `${path} does not say how to reach the store.`,
    why: `${why}.`,
    hint: "deploy again: vastlane up",
    cause,
  });
}
