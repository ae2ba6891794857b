/** A version for tests. */
import type { Version } from "../../../../emulator/s3/storage/types.ts";

export function version(key: string, changed: Partial<Version> = {}): Version {
  return {
    key,
    id: "null",
    isMarker: false,
    modified: 0,
    size: 1,
    etag: "e",
    pieces: [{ file: `file-of-${key}-${changed.id ?? "null"}`, size: 1 }],
    description: { headers: {}, metadata: {}, tags: {}, storageClass: "STANDARD" },
    checksum: null,
    ...changed,
  };
}
