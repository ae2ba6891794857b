/**
 * Reads a tar stream as `tarStream` writes it: regular files, folders and GNU's long names. Anything else (links,
 * devices) is refused, as the archive may come from where others can write.
 */

export interface TarEntry {
  path: string;
  mode: number;
  /** Unix seconds. */
  mtime: number;
  size: number;
}

const BLOCK = 512;
const MAX_NAME = 4096;

/**
 * Calls `onFile` for each file in turn, with its content as chunks, which must all be taken. Folders are passed over.
 * @throws Error when the archive is damaged, cut, or holds what is not a file
 */
export async function readTar(
  chunks: AsyncIterable<Uint8Array>,
  onFile: (entry: TarEntry, content: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const source = byteSource(chunks);
  let longName: string | undefined;
  for (;;) {
    const header = await source.take(BLOCK);
    if (!header) throw new Error("the archive is cut");
    if (header.every((byte) => byte === 0)) return;
    const { type, ...entry } = parseHeader(header);
    if (type === "L") {
      if (entry.size > MAX_NAME) throw new Error("a name in the archive is too long");
      const bytes = await source.take(Math.ceil(entry.size / BLOCK) * BLOCK);
      if (!bytes) throw new Error("the archive is cut");
      longName = bytes.subarray(0, entry.size).toString("utf8").replace(/\0.*$/s, "");
      continue;
    }
    if (type !== "0" && type !== "5") throw new Error(`the archive holds ${entry.path}, which is no file`);
    const path = longName ?? entry.path;
    longName = undefined;
    if (type === "0") await onFile({ ...entry, path }, source.stream(entry.size));
    if (!(await source.skip((BLOCK - (entry.size % BLOCK)) % BLOCK))) throw new Error("the archive is cut");
  }
}

function parseHeader(block: Buffer): TarEntry & { type: string } {
  const wanted = octal(block, 148, 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (sum !== wanted) throw new Error("a header of the archive is damaged");
  const text = (at: number, length: number) => block.toString("utf8", at, at + length).replace(/\0.*$/s, "");
  return {
    path: text(0, 100),
    mode: octal(block, 100, 8),
    mtime: octal(block, 136, 12),
    size: octal(block, 124, 12),
    type: String.fromCharCode(block[156] ?? 0).replace("\0", "0"),
  };
}

function octal(block: Buffer, at: number, length: number): number {
  const value = Number.parseInt(block.toString("latin1", at, at + length).replace(/[\0 ].*$/s, "") || "0", 8);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("a header of the archive is damaged");
  return value;
}

/** Takes exact lengths out of chunks of any length. */
function byteSource(chunks: AsyncIterable<Uint8Array>) {
  const iterator = chunks[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const more = async (): Promise<boolean> => {
    const { done, value } = await iterator.next();
    if (done) return false;
    held = held.length === 0 ? Buffer.from(value) : Buffer.concat([held, value]);
    return true;
  };
  return {
    async take(length: number): Promise<Buffer | undefined> {
      while (held.length < length) if (!(await more())) return undefined;
      const taken = held.subarray(0, length);
      held = held.subarray(length);
      return taken;
    },
    async skip(length: number): Promise<boolean> {
      return length === 0 || (await this.take(length)) !== undefined;
    },
    async *stream(length: number): AsyncGenerator<Uint8Array> {
      let left = length;
      while (left > 0) {
        if (held.length === 0 && !(await more())) throw new Error("the archive is cut");
        const part = held.subarray(0, left);
        held = held.subarray(part.length);
        left -= part.length;
        if (part.length > 0) yield part;
      }
    },
  };
}
