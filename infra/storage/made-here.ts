/**
 * Which buckets were made from this computer, so that a create that was killed before Pulumi could record it does not
 * take its own bucket for somebody else's. Kept after a destroy, as the bucket is kept too.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../common/files.ts";
import type { Store } from "./access.ts";

export interface MadeHere {
  has(): boolean;
  /** Before the bucket is made. */
  note(): void;
}

export function madeHere(stateDir: string, store: Pick<Store, "bucket" | "endpoint" | "isEmulated">): MadeHere {
  // The emulator may come back on another port.
  const at = store.isEmulated ? "emulator" : (store.endpoint ?? "aws");
  const name = createHash("sha256").update(`${at}\n${store.bucket}`).digest("hex").slice(0, 16);
  const file = join(stateDir, "buckets", name);
  return {
    has: () => existsSync(file),
    note: () => writeFileAtomic(file, `${at} ${store.bucket}\n`),
  };
}
