/**
 * A bucket on disk: `log.jsonl` says what it holds, `data/` has the bytes. A file counts only once a line of the log
 * names it, so a kill at any moment leaves the old state or the new one, and at worst a file that the next start removes.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { S3Error } from "../errors.ts";
import { type Contents, createContents } from "./contents.ts";
import { createFile, type NewFile, readPieces } from "./files.ts";
import { createLocks } from "./locks.ts";
import { openLog, readLines, writeLog } from "./log.ts";
import type { Change, Settings, Version } from "./types.ts";

export interface Bucket {
  readonly name: string;
  readonly contents: Contents;
  /** Nobody else changes what `work` looks at under this name, usually a key. */
  alone<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Makes changes lasting, then visible: all or none. */
  commit(changes: Change[]): Promise<void>;
  createFile(): Promise<NewFile>;
  /** Bytes `start` to `end` (exclusive) of a version, there until `close` even if it is replaced or deleted. */
  read(version: Version, start: number, end: number): Reading;
  /** No more changes; resolves when those under way are done. */
  close(): Promise<void>;
}

export interface Reading {
  /** A buffer is used again two steps later. */
  bytes: AsyncIterable<Buffer>;
  size: number;
  /** To be called once, however far the reading came. */
  close(): void;
}

/** Lines that say nothing any more, beside which a log is written anew at the start. */
const COMPACT_AFTER_LINES = 1000;

export async function makeBucket(folder: string, name: string, settings: Settings): Promise<Bucket> {
  await mkdir(join(folder, "data"), { recursive: true, mode: 0o700 });
  const log = await writeLog(join(folder, "log.jsonl"), [JSON.stringify([{ do: "settings", settings }])]);
  await log.close();
  return openBucket(folder, name);
}

export async function openBucket(folder: string, name: string): Promise<Bucket> {
  const logPath = join(folder, "log.jsonl");
  const data = join(folder, "data");
  const contents = createContents();
  const lines = await readLines(logPath);
  for (const [index, line] of lines.entries()) for (const change of parse(line, logPath, index)) contents.apply(change);
  const dump = contents.dump();
  const isLong = lines.length > dump.length * 2 + COMPACT_AFTER_LINES;
  const log = isLong
    ? await writeLog(
        logPath,
        dump.map((change) => JSON.stringify([change])),
      )
    : await openLog(logPath);
  await sweep(data, contents.files());

  const locks = createLocks();
  /** How many readers a file has; it is deleted when the last one leaves. */
  const readers = new Map<string, number>();
  const doomed = new Set<string>();
  let isClosed = false;

  function drop(file: string): void {
    if (readers.has(file)) doomed.add(file);
    else void rm(join(data, file), { force: true }).catch(() => {}); // what stays is removed at the next start
  }

  function leave(file: string): void {
    const count = (readers.get(file) ?? 1) - 1;
    if (count > 0) return void readers.set(file, count);
    readers.delete(file);
    if (doomed.delete(file)) drop(file);
  }

  return {
    name,
    contents,
    alone: locks.run,
    async commit(changes) {
      if (isClosed) throw noSuchBucket(name);
      await log.append(JSON.stringify(changes));
      for (const file of changes.flatMap(contents.apply)) drop(file);
    },
    createFile: () => createFile(data),
    read({ pieces }, start, end) {
      for (const { file } of pieces) readers.set(file, (readers.get(file) ?? 0) + 1);
      return {
        bytes: readPieces(data, pieces, start, end),
        size: end - start,
        close() {
          for (const { file } of pieces) leave(file);
        },
      };
    },
    async close() {
      isClosed = true;
      await log.close();
    },
  };
}

export function noSuchBucket(name: string): S3Error {
  return new S3Error("NoSuchBucket", "The specified bucket does not exist", { fields: { BucketName: name } });
}

function parse(line: string, path: string, index: number): Change[] {
  try {
    return JSON.parse(line) as Change[];
  } catch (cause) {
    throw new Error(`${path} is damaged in line ${index + 1}`, { cause });
  }
}

async function sweep(folder: string, needed: Set<string>): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) if (!needed.has(name)) await rm(join(folder, name), { force: true });
}
