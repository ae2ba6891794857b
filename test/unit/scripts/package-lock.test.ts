/**
 * npm can write a lock that `npm ci` refuses: it leaves out the packages of other platforms when node_modules is there
 * already (npm/cli #4828). Set-up on a fresh clone would then fail everywhere.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "../../../cli/project.ts";

interface Entry {
  version: string;
  integrity?: string;
  resolved?: string;
  optional?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const { packages } = JSON.parse(readFileSync(join(projectRoot, "package-lock.json"), "utf8")) as {
  packages: Record<string, Entry>;
};

/** Where Node would find `name` from the package at `from`. */
function find(from: string, name: string): Entry | undefined {
  for (let folder = from; ; folder = folder.replace(/\/?node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    const entry = packages[folder ? `${folder}/node_modules/${name}` : `node_modules/${name}`];
    if (entry || folder === "") return entry;
  }
}

test("package-lock.json has every package, those of other platforms included", () => {
  const missing = Object.entries(packages).flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => find(path, name) === undefined)
      .map((name) => `${path || "."} -> ${name}`),
  );
  expect(missing).toEqual([]);
});

test("package-lock.json checks every package that a platform must have, and names no registry", () => {
  const entries = Object.entries(packages).filter(([path]) => path !== "");
  expect(entries.filter(([, { integrity, optional }]) => !integrity && !optional).map(([path]) => path)).toEqual([]);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
});
