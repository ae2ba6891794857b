/** Who this machine is in a lease. */
import { randomUUID } from "node:crypto";
import { readFileIfThere, writeFileAtomic } from "../../common/files.ts";
import type { Holder } from "./types.ts";

/** The id is kept in the file at `path`, so that an agent that starts again takes its own lease over at once. */
export function holderOf(path: string, machine: Omit<Holder, "id">): Holder {
  const kept = readFileIfThere(path)?.trim();
  if (kept) return { id: kept, ...machine };
  const id = randomUUID();
  writeFileAtomic(path, `${id}\n`, 0o600);
  return { id, ...machine };
}
