/**
 * The import rules, checked by `npm run check`; test/integration/import-rules.test.ts breaks each of them once.
 *   common <- all · runtime -> common · infra -> common · emulator -> common · cli -> common, infra, runtime, emulator
 *   experiments -> our public entries ("vastlane/...") · test, bench, scripts -> anything
 */
const { readdirSync, existsSync } = require("node:fs");
const { join } = require("node:path");

const OURS = ["common", "infra", "runtime", "emulator", "cli", "experiments", "test", "bench", "scripts"];
const CHECKED = "^(common|infra|runtime|emulator|cli|experiments)/";

/** Files of `folder` may import ours only from the folders named. */
const only = (folder, allowed, comment) => ({
  name: `${folder}-imports-only-${allowed.join("-") || "nothing-of-ours"}`,
  severity: "error",
  comment,
  from: { path: `^${folder}/` },
  to: { path: `^(${OURS.filter((name) => name !== folder && !allowed.includes(name)).join("|")})/` },
});

/** Folders with an index.ts, at any depth. infra/index.ts is the Pulumi program, which is no entry for imports. */
function foldersWithIndex(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  const own = entries.some((entry) => entry.name === "index.ts") && folder !== "infra" ? [folder] : [];
  const below = entries.filter((entry) => entry.isDirectory() && entry.name !== "node_modules");
  return [...own, ...below.flatMap((entry) => foldersWithIndex(join(folder, entry.name)))];
}

module.exports = {
  forbidden: [
    only("common", [], "The shared vocabulary is a leaf."),
    only("runtime", ["common"], "What runs on a rented machine knows nothing of how it was rented."),
    only("infra", ["common"], "infra ships runtime's built files; it never imports runtime."),
    only("emulator", ["common"], "Two independent readings of the market's API catch a wrong one."),
    only("cli", ["common", "infra", "runtime", "emulator"], "The CLI is not built on tests, scripts or examples."),
    {
      name: "cli-acts-through-lifecycle",
      severity: "error",
      comment: "Rent, adopt and destroy have one implementation; the CLI has no HTTP calls of its own.",
      from: { path: "^cli/" },
      to: { path: "^infra/vast/api\\.ts$", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "runtime-without-pulumi",
      severity: "error",
      comment: "A rented machine has neither Pulumi nor the account key.",
      from: { path: "^runtime/" },
      to: { path: "node_modules/@?pulumi" },
    },
    {
      name: "experiments-use-public-entries",
      severity: "error",
      comment: 'Experiments show what users can write: they import "vastlane/...", never a path into our folders.',
      from: { path: "^experiments/" },
      to: { path: `^(${OURS.filter((name) => name !== "experiments").join("|")})/`, dependencyTypes: ["local"] },
    },
    {
      name: "no-cycles",
      severity: "error",
      comment: "A cycle has no order in which it can be read or loaded.",
      from: { path: CHECKED },
      to: { circular: true },
    },
    {
      name: "no-orphans",
      severity: "error",
      comment: "A file that nothing imports and that imports nothing is forgotten.",
      from: { orphan: true, path: CHECKED, pathNot: ["^experiments/", "\\.(d\\.ts|json)$"] },
      to: {},
    },
    {
      name: "no-unresolved",
      severity: "error",
      comment: "Something that cannot be found will not be found by Node either.",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-dev-dependencies",
      severity: "error",
      comment: "Code that users run may only need what `npm ci --omit=dev` installs.",
      from: { path: "^(common|infra|runtime|emulator|cli|experiments)/" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    ...OURS.flatMap(foldersWithIndex).map((folder) => ({
      name: `only-the-index-of-${folder.replaceAll("/", "-")}`,
      severity: "error",
      comment: `${folder}/index.ts is the way in; its other files are its own, but for a types.ts without code.`,
      from: { pathNot: [`^${folder}/`, "^(test|bench|scripts)/"] },
      to: { path: `^${folder}/`, pathNot: `^${folder}/(index|types)\\.ts$` },
    })),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^test/fixtures/" },
    // Types count: a type is knowledge of the other side as well.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
    skipAnalysisNotInRules: true,
  },
};
