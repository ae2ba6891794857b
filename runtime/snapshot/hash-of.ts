/** The hash of a file of any size, as snapshots compare it. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/** Hex SHA-256; undefined when there is no such file. */
export async function hashOf(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return hash.digest("hex");
}
