/**
 * Writes a snapshot's archive. What goes into the index is the hash of the very bytes that went into the archive: the
 * files are in use, and one that is written to meanwhile must not make the whole snapshot look damaged.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, createWriteStream, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { looksSecret } from "../../common/never-sent.ts";
import { type TarMember, tarStream } from "../../common/tar.ts";
import type { ProjectFile, SnapshotFile } from "./index-file.ts";
import { type Caps, type FoundFile, isSameMode, type LeftOut, type Place, type Scan, tooLarge } from "./scan.ts";

export interface Packed {
  files: ProjectFile[];
  conflicts: SnapshotFile[];
  leftOut: LeftOut[];
}

/** One file at a time is in memory. A file that cannot be read is left out and named. @throws faults of the disk */
export async function packArchive(scan: Scan, place: Place, archive: string, caps: Caps): Promise<Packed> {
  const packed: Packed = { files: [], conflicts: [], leftOut: [...scan.leftOut] };
  function* members(): Generator<TarMember> {
    for (const { base, ...found } of scan.changed) {
      const read = readOne(place.project, found, caps, packed.leftOut);
      if (!read) continue;
      const isOnlyTouched = base?.sha256 === read.file.sha256 && isSameMode(base.mode, read.file.mode);
      if (isOnlyTouched) continue;
      packed.files.push({ ...read.file, baseSha256: base?.sha256 ?? null });
      yield memberOf("project", read);
    }
    for (const found of scan.conflicts) {
      const read = readOne(place.conflicts, found, caps, packed.leftOut);
      if (!read) continue;
      packed.conflicts.push(read.file);
      yield memberOf("conflicts", read);
    }
  }
  // The lowest level: the command wants the processor.
  await pipeline(Readable.from(tarStream(members())), createGzip({ level: 1 }), createWriteStream(archive));
  return packed;
}

interface Read {
  file: SnapshotFile;
  bytes: Buffer;
}

function memberOf(area: "project" | "conflicts", { file, bytes }: Read): TarMember {
  const { path, mode, mtime } = file;
  return { path: `${area}/${path}`, mode, mtime, content: { kind: "bytes", bytes } };
}

function readOne(root: string, { path, mode, mtime }: FoundFile, caps: Caps, leftOut: LeftOut[]): Read | undefined {
  let bytes: Buffer;
  try {
    bytes = readUpTo(join(root, path), caps.fileBytes + 1);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT") leftOut.push({ path, reason: `cannot be read (${code})` });
    return undefined;
  }
  const isSecret = looksSecret(path, bytes.toString("latin1", 0, 4096));
  const reason = isSecret ? "looks like a secret" : tooLarge(bytes.length, caps);
  if (reason !== undefined) {
    leftOut.push({ path, reason });
    return undefined;
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { file: { path, sha256, size: bytes.length, mode, mtime }, bytes };
}

/** Never through a link, and never from a pipe, should one have come into the file's place. */
function readUpTo(path: string, most: number): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw Object.assign(new Error(`${path} is no file`), { code: "ENOENT" });
    const bytes = Buffer.alloc(Math.min(stat.size, most));
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(file, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
