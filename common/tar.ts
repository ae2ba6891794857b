/**
 * Writes a tar stream (ustar, with GNU's long names, which GNU, BSD and BusyBox tar all read). Our own, because
 * some members exist only in memory (secrets among them, which must not touch this disk), and because owner and
 * modes must not depend on this computer.
 */
import { createReadStream } from "node:fs";

export interface TarMember {
  /** Path in the archive, `/` between folders, no leading slash. */
  path: string;
  mode: number;
  /** Unix seconds. */
  mtime: number;
  content:
    | { kind: "bytes"; bytes: Uint8Array }
    | { kind: "file"; source: string; size: number }
    | { kind: "link"; target: string }
    | { kind: "folder" };
}

const BLOCK = 512;

/** The archive, chunk by chunk. @throws Error when a file is shorter now than its stated size. */
export async function* tarStream(members: Iterable<TarMember>): AsyncGenerator<Uint8Array> {
  for (const member of members) {
    const { content } = member;
    const target = content.kind === "link" ? content.target : "";
    if (Buffer.byteLength(member.path) > 100) yield* longText("L", member.path);
    if (Buffer.byteLength(target) > 100) yield* longText("K", target);
    const size = content.kind === "bytes" ? content.bytes.length : content.kind === "file" ? content.size : 0;
    const type = { bytes: "0", file: "0", link: "2", folder: "5" }[content.kind];
    yield header({ path: member.path, mode: member.mode, mtime: member.mtime, size, type, target });
    if (content.kind === "bytes") yield content.bytes;
    if (content.kind === "file") yield* exactly(content.source, content.size);
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** A member that carries a name too long for the next header. */
function* longText(type: "L" | "K", text: string): Generator<Uint8Array> {
  const bytes = Buffer.from(`${text}\0`);
  yield header({ path: "././@LongLink", mode: 0o644, mtime: 0, size: bytes.length, type, target: "" });
  yield bytes;
  yield Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK);
}

/** The file's first `size` bytes: it may have grown since it was measured, and the header is out already. */
async function* exactly(source: string, size: number): AsyncGenerator<Uint8Array> {
  let left = size;
  if (size > 0) {
    for await (const chunk of createReadStream(source, { end: size - 1, highWaterMark: 1 << 18 })) {
      left -= chunk.length;
      yield chunk;
    }
  }
  if (left > 0) throw new Error(`${source} became shorter while it was sent`);
}

interface Header {
  path: string;
  mode: number;
  mtime: number;
  size: number;
  type: string;
  target: string;
}

function header({ path, mode, mtime, size, type, target }: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  cut(path).copy(block, 0);
  octal(block, mode, 100, 8);
  octal(block, 0, 108, 8);
  octal(block, 0, 116, 8);
  octal(block, size, 124, 12);
  octal(block, Math.max(0, mtime), 136, 12);
  block.write(type, 156);
  cut(target).copy(block, 157);
  block.write("ustar\u000000", 257, "latin1");
  block.fill(" ", 148, 156); // the sum counts its own field as blanks
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** The first 100 bytes: all of the field when a long-name member came before. */
function cut(text: string): Buffer {
  return Buffer.from(text).subarray(0, 100);
}

/** Octal text, or, from 8 GiB on, GNU's binary form. */
function octal(block: Buffer, value: number, at: number, width: number): void {
  const text = value.toString(8);
  if (text.length < width) {
    block.write(`${text.padStart(width - 1, "0")}\0`, at, "latin1");
    return;
  }
  block.writeBigUInt64BE(BigInt(value), at + width - 8);
  block[at] = 0x80;
}
