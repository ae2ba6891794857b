/**
 * Bundles the agent into one agent.mjs that any Node >= 18 runs, with no dependency and the same bytes each time:
 * deploy recognises it by hash. A build is reused while none of the files that went into it has changed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFileIfThere, writeFileAtomic } from "../../common/files.ts";

export interface AgentBundle {
  path: string;
  /** Hex. */
  sha256: string;
  code: string;
}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** `outDir`: where the bundle and its manifest are kept. */
export async function buildAgent(outDir = join(root, ".vastlane", "build")): Promise<AgentBundle> {
  const path = join(outDir, "agent.mjs");
  const manifest = join(outDir, "agent.inputs.json");
  const cached = readCached(path, manifest);
  if (cached) return cached;

  const { build } = await import("esbuild"); // starts a process of its own: only when there is something to do
  const result = await build({
    entryPoints: [join(root, "runtime/agent/main.ts")],
    absWorkingDir: root,
    outfile: path,
    write: false,
    metafile: true,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
  });
  const code = result.outputFiles[0]?.text ?? "";
  const inputs = Object.fromEntries(
    Object.keys(result.metafile.inputs).map((file) => [file, hash(readFileSync(join(root, file)))]),
  );
  writeFileAtomic(path, code);
  writeFileAtomic(manifest, JSON.stringify({ inputs, sha256: hash(code) }));
  return { path, sha256: hash(code), code };
}

function readCached(path: string, manifestPath: string): AgentBundle | undefined {
  try {
    const manifest = JSON.parse(readFileIfThere(manifestPath) ?? "") as {
      inputs: Record<string, string>;
      sha256: string;
    };
    const code = readFileIfThere(path) ?? "";
    const isSame = Object.entries(manifest.inputs).every(([file, sha]) => hash(readFileSync(join(root, file))) === sha);
    return isSame && hash(code) === manifest.sha256 ? { path, sha256: manifest.sha256, code } : undefined;
  } catch {
    return undefined; // no build yet, or a source file is gone
  }
}

function hash(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

// `node runtime/agent/build.ts [folder]` prints where the bundle is: infra ships it without importing the runtime.
if (import.meta.main) process.stdout.write(`${(await buildAgent(process.argv[2])).path}\n`);
