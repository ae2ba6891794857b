/**
 * Bundles what machines get of us: the agent, and the public modules (`vastlane/experiment`, ...) for projects that
 * import them. Each is one file that any Node >= 18 runs, with no dependency and the same bytes each time: deploy
 * recognises it by hash. A build is reused while none of the files that went into it has changed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFileIfThere, writeFileAtomic } from "../../common/files.ts";

export interface Bundle {
  path: string;
  /** Hex. */
  sha256: string;
  code: string;
}

/** CommonJS packages of the AWS SDK ask for Node's own modules by `require`, which an ES module does not have. */
const REQUIRE = `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`;

const root = fileURLToPath(new URL("../../", import.meta.url));

/** `outDir`: where bundles and their manifests are kept. */
export const buildAgent = (outDir?: string): Promise<Bundle> => bundle("agent", "runtime/agent/main.ts", outDir);

/**
 * What `import ... from "vastlane/<name>"` finds on a machine. The agent takes experiments' checkpoints to the store:
 * only whoever asks for `vastlane/checkpoint` itself may want the store's client, which is ten times all else.
 */
const MODULES: Record<string, { entry: string; external?: string[] }> = {
  checkpoint: { entry: "runtime/checkpoint/index.ts" },
  experiment: { entry: "runtime/experiment.ts", external: ["@aws-sdk/*"] },
  trainer: { entry: "runtime/trainer/index.ts", external: ["@aws-sdk/*"] },
};

/** The public modules by name. */
export async function buildModules(outDir?: string): Promise<Record<string, Bundle>> {
  const built = Object.entries(MODULES).map(
    async ([name, { entry, external }]) => [name, await bundle(name, entry, outDir, external)] as const,
  );
  return Object.fromEntries(await Promise.all(built));
}

async function bundle(
  name: string,
  entry: string,
  outDir = join(root, ".vastlane", "build"),
  external: string[] = [],
): Promise<Bundle> {
  const path = join(outDir, `${name}.mjs`);
  const manifest = join(outDir, `${name}.inputs.json`);
  const cached = readCached(path, manifest);
  if (cached) return cached;

  const { build } = await import("esbuild"); // starts a process of its own: only when there is something to do
  const result = await build({
    entryPoints: [join(root, entry)],
    absWorkingDir: root,
    outfile: path,
    write: false,
    metafile: true,
    bundle: true,
    external,
    platform: "node",
    format: "esm",
    mainFields: ["module", "main"],
    banner: { js: REQUIRE },
    target: "node18",
    charset: "utf8",
    // With the store's client it would be 1.4 MB; names stay, for the stacks in a log.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    logLevel: "silent",
  });
  const code = result.outputFiles[0]?.text ?? "";
  const inputs = Object.fromEntries(
    // This file as well: how it is built is part of what is built.
    [...Object.keys(result.metafile.inputs), "runtime/agent/build.ts"].map((file) => [
      file,
      hash(readFileSync(join(root, file))),
    ]),
  );
  writeFileAtomic(path, code);
  writeFileAtomic(manifest, JSON.stringify({ inputs, sha256: hash(code) }));
  return { path, sha256: hash(code), code };
}

function readCached(path: string, manifestPath: string): Bundle | undefined {
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

// `node runtime/agent/build.ts [folder]` prints where the bundles are: infra ships them without importing the runtime.
if (import.meta.main) {
  const [agent, modules] = await Promise.all([buildAgent(process.argv[2]), buildModules(process.argv[2])]);
  const paths = Object.fromEntries(Object.entries(modules).map(([name, { path }]) => [name, path]));
  process.stdout.write(`${JSON.stringify({ agent: agent.path, modules: paths })}\n`);
}
