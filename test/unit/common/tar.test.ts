import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type TarMember, tarStream } from "../../../common/tar.ts";

async function archive(members: TarMember[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarStream(members)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("the system's tar reads back names of any length, modes, times, links and contents", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vl-tar-"));
  try {
    const source = join(folder, "source");
    writeFileSync(source, "from a file");
    const long = `${"deep/".repeat(30)}${"n".repeat(120)}`;
    const bytes = (text: string) => ({ kind: "bytes" as const, bytes: Buffer.from(text) });
    const packed = await archive([
      { path: "d", mode: 0o755, mtime: 5, content: { kind: "folder" } },
      { path: "d/é blank", mode: 0o600, mtime: 1_700_000_000, content: bytes("x".repeat(513)) },
      { path: "d/run", mode: 0o755, mtime: 7, content: { kind: "file", source, size: 4 } },
      { path: "d/link", mode: 0o644, mtime: 7, content: { kind: "link", target: `../${long}` } },
      { path: long, mode: 0o644, mtime: 7, content: bytes("") },
    ]);
    execFileSync("tar", ["-xpf", "-", "-C", folder], { input: packed });
    expect(readFileSync(join(folder, "d/é blank"), "utf8")).toBe("x".repeat(513));
    expect(statSync(join(folder, "d/é blank"))).toMatchObject({ mtimeMs: 1_700_000_000_000, mode: 0o100600 });
    expect(readFileSync(join(folder, "d/run"), "utf8")).toBe("from");
    expect(statSync(join(folder, "d/run")).mode & 0o777).toBe(0o755);
    expect(readlinkSync(join(folder, "d/link"))).toBe(`../${long}`);
    expect(statSync(join(folder, long)).size).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a file that became shorter is an error, not a broken archive", async () => {
  const content = { kind: "file" as const, source: "/dev/null", size: 10 };
  await expect(archive([{ path: "a", mode: 0o644, mtime: 0, content }])).rejects.toThrow("became shorter");
});

test("sizes from 8 GiB on are written in binary", async () => {
  const stream = tarStream([
    { path: "big", mode: 0o644, mtime: 0, content: { kind: "file", source: "/dev/null", size: 2 ** 33 } },
  ]);
  const header = Buffer.from((await stream.next()).value ?? []);
  expect(header[124]).toBe(0x80);
  expect(header.readBigUInt64BE(128)).toBe(2n ** 33n);
});
