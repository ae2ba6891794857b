/**
 * `npm run check`: types (tsc), lint and format (biome), import rules (dependency-cruiser). One line when all is clean,
 * else what each has to say.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectNode, root, runNode } from "./run.mjs";

const FOLDERS = [
  "common",
  "infra",
  "runtime",
  "emulator",
  "cli",
  "experiments",
  "test",
  "bench",
  "scripts",
  "bin",
].filter((folder) => existsSync(join(root, folder)));

const TOOLS = [
  {
    name: "types",
    file: "node_modules/typescript/bin/tsc",
    args: ["--incremental", "--tsBuildInfoFile", "node_modules/.cache/tsbuildinfo", "--pretty", "false"],
  },
  { name: "lint", file: "node_modules/@biomejs/biome/bin/biome", args: ["check", "--error-on-warnings"] },
  {
    name: "import rules",
    file: "node_modules/dependency-cruiser/bin/dependency-cruise.mjs",
    args: ["--config", ".dependency-cruiser.cjs", "--output-type", "err", ...FOLDERS],
  },
];

if (!existsSync(projectNode)) {
  const args = [join(root, "scripts", "setup.mjs"), "--engine-optional"];
  if (spawnSync(process.execPath, args, { stdio: "inherit" }).status !== 0) process.exit(1);
}

const start = Date.now();
const results = await Promise.all(TOOLS.map(async (tool) => ({ ...tool, ...(await runNode(tool.file, tool.args)) })));
const failed = results.filter((result) => result.code !== 0);
for (const { name, output } of failed) console.error(`check: ${name}\n${output.trim()}\n`);
const seconds = ((Date.now() - start) / 1000).toFixed(0);
if (failed.length > 0) console.error(`check: failed: ${failed.map((result) => result.name).join(", ")} (${seconds} s)`);
else console.log(`check: types, lint and import rules are clean (${seconds} s)`);
process.exitCode = failed.length > 0 ? 1 : 0;
