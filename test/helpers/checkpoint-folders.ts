/** Local checkpoints for tests: folders of a command's own, and ones with a manifest of ours. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkpointFolder } from "../../common/checkpoint-id.ts";
import { type Manifest, manifestText, sumsText } from "../../runtime/checkpoint/manifest.ts";

/** Files by path, with their content. */
export type Content = Record<string, string>;

/** Writes a folder as a command leaves it, without a manifest. */
export function plainFolder(dir: string, name: string, content: Content): string {
  const folder = join(dir, name);
  for (const [path, text] of Object.entries(content)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

/** Writes a folder as our own trainer leaves it. */
export function ourFolder(dir: string, step: number, content: Content, more: Partial<Manifest> = {}): string {
  const folder = plainFolder(dir, checkpointFolder(step), content);
  const manifest = manifestOf(step, content, more);
  writeFileSync(join(folder, "SHA256SUMS"), sumsText(manifest.files));
  writeFileSync(join(folder, "manifest.json"), manifestText(manifest));
  return folder;
}

export function manifestOf(step: number, content: Content, more: Partial<Manifest> = {}): Manifest {
  return {
    format: 1,
    runId: "stack/run",
    id: checkpointFolder(step),
    step,
    epoch: 0,
    parent: null,
    time: "2026-01-01T00:00:00.000Z",
    files: Object.entries(content).map(([path, text]) => ({
      path,
      bytes: Buffer.byteLength(text),
      sha256: sha256(text),
    })),
    metrics: {},
    experiment: null,
    contentHash: "",
    ...more,
  };
}

export function sha256(text: string | Buffer): string {
  return createHash("sha256").update(text).digest("hex");
}
