/**
 * A file of lines that survives SIGKILL at any moment: what `append` has resolved for is on the disk, and a torn last
 * line never happened. Lines that come together go out together, with one fsync for all of them.
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { writeFileAtomic } from "../../../common/files.ts";

export interface Log {
  /** Resolves when the line is on the disk. A line that could not be written leaves nothing. */
  append(line: string): Promise<void>;
  close(): Promise<void>;
}

/** The whole lines of a log; none when there is no file. */
export async function readLines(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "");
}

/** Opens a log that begins with `lines`, and with nothing else. */
export async function writeLog(path: string, lines: readonly string[]): Promise<Log> {
  writeFileAtomic(path, lines.map((line) => `${line}\n`).join(""), 0o600);
  return openLog(path);
}

/** Opens a log to go on after its last whole line. */
export async function openLog(path: string): Promise<Log> {
  const file = await open(path, "a+", 0o600);
  let length = await wholeLength(file);
  await file.truncate(length);
  let waiting: { line: string; done: () => void; fail: (error: unknown) => void }[] = [];
  /** The round under way. It ends in the same step in which it finds nothing waiting, or a line could wait for ever. */
  let writing: Promise<void> | undefined;
  let broken: unknown;

  async function writeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      try {
        if (broken) throw broken;
        const bytes = Buffer.from(group.map(({ line }) => `${line}\n`).join(""));
        await writeWhole(file, bytes);
        await file.datasync();
        length += bytes.length;
        for (const { done } of group) done();
      } catch (error) {
        // Half a line in the middle would make the rest unreadable.
        broken = await file.truncate(length).then(
          () => undefined,
          () => error,
        );
        for (const { fail } of group) fail(error);
      }
    }
    writing = undefined;
  }

  return {
    append: (line) =>
      new Promise((done, fail) => {
        waiting.push({ line, done, fail });
        writing ??= writeWaiting();
      }),
    async close() {
      await writing;
      await file.close();
    },
  };
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

async function wholeLength(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const block = Buffer.alloc(64 << 10);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    const newline = block.lastIndexOf(10, bytesRead - 1);
    if (newline !== -1) return start + newline + 1;
    end = start;
  }
  return 0;
}
